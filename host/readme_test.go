package host_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeNamesTests: each promise of README has a test, and the tests that it names are there.
func TestReadmeNamesTests(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		have[filepath.Base(path)] = true
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllSubmatch(b, -1) {
			have[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := checkPromises(string(readme), have); len(got) > 0 {
		t.Error(strings.Join(got, "\n"))
	}
	bad := "| promise | test |\n|---|---|\n| a | `TestNowhere` (host) |\n| b | on faith |\n"
	if got := checkPromises(bad, have); len(got) != 2 {
		t.Errorf("a bad table: %q", got)
	}
}

func checkPromises(readme string, have map[string]bool) (complaints []string) {
	_, table, ok := strings.Cut(readme, "| promise | test |\n|---|---|\n")
	if !ok {
		return []string{"README has no table of promises"}
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		names := regexp.MustCompile("`((?:Test|Fuzz)\\w+|\\w+\\.txtar)`").FindAllStringSubmatch(row, -1)
		if len(names) == 0 {
			complaints = append(complaints, "no test: "+row)
		}
		missing := slices.DeleteFunc(names, func(m []string) bool { return have[m[1]] })
		for _, m := range missing {
			complaints = append(complaints, "README names "+m[1]+", which is not there: "+row)
		}
	}
	return complaints
}
