package install

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)\s#]+)[^)]*\)`)

// TestPackageLinks: what a document in the package links to is in the package, or on
// the web.
func TestPackageLinks(t *testing.T) {
	dir := t.TempDir()
	command(t, nil, "deployments/package/docs.sh", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	const web = "https://github.com/reattach/reattach/blob/main/"
	checked := 0
	for _, page := range append(pages, filepath.Join(dir, "README.md"), filepath.Join(dir, "CHANGELOG.md")) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(content), -1) {
			at := filepath.Join(filepath.Dir(page), m[1])
			if path, ours := strings.CutPrefix(m[1], web); ours {
				at = filepath.Join(root, path)
			} else if strings.Contains(m[1], "://") {
				continue
			} else if !strings.HasPrefix(at, dir+"/") {
				t.Errorf("%s: %s leads out of the package", filepath.Base(page), m[1])
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s: %s leads nowhere", filepath.Base(page), m[1])
			}
			checked++
		}
	}
	if checked < 40 {
		t.Errorf("%d links", checked)
	}
}
