package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/reattach/reattach/configs"
	"github.com/reattach/reattach/probe"
)

// factsJSON are the facts of one protocol for programs.
type factsJSON struct {
	Protocol string     `json:"protocol"`
	Schemes  []string   `json:"schemes"`
	Facts    []factJSON `json:"facts"`
}

type factJSON struct {
	Name       string      `json:"name"`
	Type       string      `json:"type"` // bool, int64, float64 or string
	Meaning    string      `json:"meaning"`
	Depth      probe.Phase `json:"depth"` // how deep a conversation must go to learn it
	Privileged bool        `json:"privileged,omitempty"`
}

// checkFacts lists what probes can learn: of these schemes, of what these
// configurations use, or of all.
func checkFacts(p *process, words []string, asJSON bool) error {
	list, err := speakers(p, words)
	if err != nil {
		return err
	}
	if asJSON {
		out := []factsJSON{}
		for _, protocol := range list {
			out = append(out, factsOf(protocol))
		}
		return writeJSON(p.out, out)
	}
	_, err = io.WriteString(p.out, renderAllFacts(p.paint, list))
	return err
}

// speakers returns the protocols that are meant by schemes, by names, and by
// configurations that use them.
func speakers(p *process, words []string) ([]probe.Protocol, error) {
	all := protocols()
	if len(words) == 0 {
		return all, nil
	}
	chosen := map[string]bool{}
	for _, word := range words {
		if protocol, ok := protocolOf(strings.TrimSuffix(word, "://")); ok {
			chosen[protocol.Name] = true
			continue
		}
		if _, err := os.Stat(word); err != nil {
			return nil, wrongf("schemes: "+schemes(), "%s is neither a scheme nor a configuration", word)
		}
		conf, diags := configs.Load([]string{word}, configOptions(p))
		if conf == nil {
			fmt.Fprint(p.out, diags.String())
			return nil, &exit{code: exitWrong}
		}
		for _, r := range conf.Resources {
			chosen[r.Protocol.Name] = true
		}
	}
	return slices.DeleteFunc(all, func(protocol probe.Protocol) bool { return !chosen[protocol.Name] }), nil
}

func factsOf(p probe.Protocol) factsJSON {
	out := factsJSON{Protocol: p.Name, Facts: []factJSON{}}
	for _, s := range p.Schemes {
		out.Schemes = append(out.Schemes, s.Name)
	}
	for _, f := range p.Facts {
		out.Facts = append(out.Facts, factJSON{f.Name, f.Type, f.Meaning, f.Depth(), f.Privileged})
	}
	return out
}

// factTypes are the types of facts as people call them.
var factTypes = map[string]string{"bool": "yes or no", "int64": "number", "float64": "number", "string": "text"}

// renderAllFacts lists facts by protocol, and says how to require them.
func renderAllFacts(p paint, list []probe.Protocol) string {
	var b strings.Builder
	privileged := false
	for _, protocol := range list {
		fmt.Fprintf(&b, "%s  %s\n", p.in(bold, protocol.Name), p.in(dim, strings.Join(factsOf(protocol).Schemes, ", ")))
		t := table{paint: p, indent: "  "}
		for _, f := range protocol.Facts {
			name := f.Name
			if f.Privileged {
				name, privileged = name+" *", true
			}
			t.row(cell{name, plain}, cell{factTypes[f.Type], dim}, cell{f.Meaning, plain})
		}
		b.WriteString(t.String() + "\n")
	}
	if privileged {
		b.WriteString("* wants a privilege; where the account lacks it, missing_privilege names it.\n")
	}
	b.WriteString("Required of a standby by: require = [\"FACT\", \"!FACT\", \"FACT >= VALUE\"]; what is not known is not met.\n")
	return b.String()
}
