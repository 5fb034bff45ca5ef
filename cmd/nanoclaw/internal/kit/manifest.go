package kit

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/BurntSushi/toml"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// BuildSpec is what skill.toml says about building.
type BuildSpec struct {
	Command string // shell command that writes the module to $OUT; "" = Go
}

// ParseSkillTOML decodes and checks skill.toml: the manifest's keys, as TOML, and `build`.
// Schemas may be tables or strings of JSON.
func ParseSkillTOML(b []byte) (host.Manifest, BuildSpec, error) {
	src := struct {
		host.Manifest
		Build string `json:"build"`
	}{Manifest: host.Manifest{ABI: skill.ABI}}
	fail := func(err error) (host.Manifest, BuildSpec, error) {
		return host.Manifest{}, BuildSpec{}, fmt.Errorf("%w: skill.toml: %w", host.ErrInvalid, err)
	}
	if len(b) > skill.MaxManifest {
		return fail(fmt.Errorf("%d bytes, at most %d", len(b), skill.MaxManifest))
	}
	if n := bytes.Count(b, []byte(".")) + bytes.Count(b, []byte("{")) + bytes.Count(b, []byte("[")); n > maxBrackets {
		return fail(fmt.Errorf("%d of '.', '{' and '[', at most %d", n, maxBrackets))
	}
	var tree map[string]any
	if err := toml.Unmarshal(b, &tree); err != nil {
		return fail(err)
	}
	object, err := json.Marshal(jsonStrings(tree))
	if err != nil {
		return fail(err)
	}
	if err := wire.Unmarshal(object, &src); err != nil {
		return fail(skill.Known(err))
	}
	if err := skill.CheckManifest(&src.Manifest); err != nil {
		return fail(err)
	}
	return src.Manifest, BuildSpec{Command: src.Build}, nil
}

// jsonStrings turns schemas written as strings of JSON into what they say.
func jsonStrings(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			s, isString := e.(string)
			if isString && (k == "inputSchema" || k == "outputSchema" || k == "annotations") && json.Valid([]byte(s)) {
				v[k] = json.RawMessage(s)
			} else if k != "properties" {
				jsonStrings(e)
			}
		}
	case []map[string]any:
		for _, e := range v {
			jsonStrings(e)
		}
	case []any:
		for _, e := range v {
			jsonStrings(e)
		}
	}
	return v
}
