// Skill memory keeps MEMORY.md in the agent's workspace: dated lines that the host gives the model
// in every turn. The file is the owner's as much as the skill's: what is no line of its own stays
// as it is. It has the capability fs for the workspace, at whose top the file stands.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

const (
	file     = "MEMORY.md"
	maxFile  = 32 << 10 // bytes; the host shows a model 64 KiB
	maxFact  = 1000     // bytes
	maxShown = 10       // lines of an answer that asks which one was meant
)

type (
	factInput struct {
		Fact string `json:"fact"`
	}
	recallInput struct {
		Query string `json:"query"`
	}
)

func init() {
	sdk.Tool("remember", remember)
	sdk.Tool("recall", recall)
	sdk.Tool("forget", forget)
}

func main() {}

// remember adds a line, unless it is there: a turn that is run again changes nothing.
func remember(c sdk.Context, in factInput) (string, error) {
	fact := strings.Join(strings.Fields(strings.ToValidUTF8(in.Fact, "\uFFFD")), " ")
	if fact == "" {
		return "", errors.New("the fact is empty")
	}
	if len(fact) > maxFact {
		return "", errors.New("the fact is longer than " + strconv.Itoa(maxFact) +
			" bytes: remember the short of it, and keep the rest in a note")
	}
	err := workfile.Update(c.Turn, file, maxFile, func(old []byte) ([]byte, error) {
		for line := range strings.Lines(string(old)) {
			if strings.EqualFold(factOf(line), fact) {
				return old, nil
			}
		}
		if len(old) > 0 && old[len(old)-1] != '\n' {
			old = append(old, '\n')
		}
		return append(old, "- "+clock.At(clock.Now()).String()+": "+fact+"\n"...), nil
	})
	if err != nil {
		return "", err
	}
	return "Remembered: " + fact, nil
}

// factOf is what a line says, without its mark and date.
func factOf(line string) string {
	line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "-* "))
	if day, rest, ok := strings.Cut(line, ": "); ok {
		if _, dated := clock.ParseDate(day); dated {
			return rest
		}
	}
	return line
}

func recall(_ sdk.Context, in recallInput) (string, error) {
	b, err := workfile.Read(file, maxFile)
	if err != nil {
		return "", err
	}
	text := strings.ToValidUTF8(string(b), "\uFFFD")
	if strings.TrimSpace(text) == "" {
		return "There is nothing in memory yet.", nil
	}
	if strings.TrimSpace(in.Query) == "" {
		return strings.TrimSpace(text), nil
	}
	found := matching(text, in.Query)
	if len(found) == 0 {
		return "Nothing in memory contains " + strconv.Quote(in.Query) + ".", nil
	}
	return strings.Join(found, "\n"), nil
}

// forget removes a line. That there is none is no error: it may have been removed by this turn,
// before it was cut short.
func forget(c sdk.Context, in factInput) (said string, err error) {
	if strings.TrimSpace(in.Fact) == "" {
		return "", errors.New("there is no word to look for")
	}
	err = workfile.Update(c.Turn, file, maxFile, func(old []byte) ([]byte, error) {
		found := matching(string(old), in.Fact)
		for line := range strings.Lines(string(old)) {
			if fact := strings.TrimSpace(in.Fact); strings.EqualFold(factOf(line), fact) || strings.TrimSpace(line) == fact {
				found = []string{strings.TrimSpace(line)} // the line itself
			}
		}
		switch {
		case len(found) == 0:
			said = "Nothing in memory contains " + strconv.Quote(in.Fact) + "."
			return old, nil
		case len(found) > 1:
			return nil, errors.New(strconv.Itoa(len(found)) + " lines match, give one of them in whole:\n" +
				strings.Join(found[:min(len(found), maxShown)], "\n"))
		}
		said = "Forgotten: " + factOf(found[0])
		var left []byte
		for line := range strings.Lines(string(old)) {
			if found == nil || strings.TrimSpace(line) != found[0] {
				left = append(left, line...)
				continue
			}
			found = nil // the first of equal lines
		}
		return left, nil
	})
	return said, err
}

// matching are the lines that contain every word.
func matching(text, query string) (out []string) {
	words := strings.Fields(strings.ToLower(query))
	for line := range strings.Lines(text) {
		lower, all := strings.ToLower(line), strings.TrimSpace(line) != ""
		for _, w := range words {
			all = all && strings.Contains(lower, w)
		}
		if all {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
