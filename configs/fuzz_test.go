package configs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reattach/reattach/configs"
)

// FuzzLoad holds three promises against any input: it ends without a panic, it
// yields a configuration or an error and never both, and no report shows the
// value of a setting that holds a secret.
func FuzzLoad(f *testing.F) {
	for _, glob := range []string{"*.hcl", "*.json", "testdata/wrong/*.hcl", "testdata/wrong/*.json"} {
		names, err := filepath.Glob(glob)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, filepath.Ext(name) == ".json")
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, json bool) {
		name := "fuzz.hcl"
		if json {
			name = "fuzz.json"
		}
		config, diags := configs.Parse(name, text, options())
		if (config == nil) != diags.HasErrors() {
			t.Fatalf("config is nil: %v, with errors: %v", config == nil, diags.HasErrors())
		}
		if len(diags) > 0 && diags.String() == "" {
			t.Fatal("a finding without words")
		}
		for _, secret := range []string{planted + "&env", planted + "word", planted + "-file"} { // what only the host knows
			if strings.Contains(diags.String(), secret) && !strings.Contains(string(text), secret) {
				t.Fatalf("the report holds a secret:\n%s", diags)
			}
		}
	})
}

// FuzzMask writes a secret wherever one may stand, into a file that something
// else has broken, and looks for it in the report. Each place has a secret of
// its own, so that masking one does not mask the others.
func FuzzMask(f *testing.F) {
	f.Add("", "", "")
	f.Add("observer {", "x {", "}")
	f.Add("probe { x = ", "# and", "# end")
	f.Add("token = \"", "\"", "\"")
	f.Add("/*", "", "*/")
	f.Add("<<EOT", "${", "\nEOT\n")
	f.Fuzz(func(t *testing.T, above, between, below string) {
		text := above + "\nresource \"r\" {\n  endpoint \"a\" { url = \"mysql://app:" + planted + "1@db/x\" }\n" + between +
			"\n  probe {\n    password = \"" + planted + "2\"\n    passwort = " + planted + "3\n    passwords = [\n\"" + planted + "4\"\n]\n  }\n" + below + "\n" +
			"notifier \"webhook\" \"w\" {\n  routing_key = \"" + planted + "5\"\n  url = \"https://hooks.internal/services/" + strings.Repeat(planted, 3) + "6\"\n}\n"
		if strings.Contains(above+"|"+between+"|"+below, planted) {
			return
		}
		for _, name := range []string{"fuzz.hcl", "fuzz.json"} {
			_, diags := configs.Parse(name, []byte(text), options())
			if strings.Contains(diags.String(), planted) {
				t.Fatalf("the report holds a secret:\n%s\nof:\n%s", diags, text)
			}
		}
	})
}
