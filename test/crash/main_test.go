package crash

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"
)

// childEnv makes this binary an observer; it holds its [life].
const childEnv = "REATTACH_CRASH_LIFE"

// summary is the last line of all.
var summary string

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == stepArg {
		ends(step(world(os.Args[2])))
	}
	if text := os.Getenv(childEnv); text != "" {
		var l life
		err := json.Unmarshal([]byte(text), &l)
		switch {
		case err != nil:
		case l.Company:
			err = l.attend()
		default:
			err = l.live()
		}
		ends(err)
	}
	flag.Parse()
	code := m.Run()
	if summary != "" {
		fmt.Println(summary)
	}
	os.Exit(code)
}

func ends(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
