package kit

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const weatherTOML = `
name = "weather"
version = "0.1.0"
description = "Says what the sky does"
license = "Apache-2.0"
build = "make weather"

[limits]
timeout_ms = 5000

[[capabilities]]
name = "http"
reason = "to ask the forecast service"
hosts = ["api.example.com", "*.weather.example.org"]
methods = ["GET"]

[[capabilities]]
name = "fs"
reason = "to remember places"
optional = true
mode = "ro"
path = "places"

[[tools]]
name = "forecast"
description = "The weather of a city"
examples = ["weather in {city}"]

[tools.inputSchema]
type = "object"
required = ["city"]
properties.city.type = "string"
properties.annotations.default = "{}"

[[tools]]
name = "now"
description = "The weather here"
inputSchema = '{"type":"object","properties":{}}'
annotations = '{"readOnlyHint":true}'
`

func TestParseSkillTOML(t *testing.T) {
	m, spec, err := ParseSkillTOML([]byte(weatherTOML))
	if err != nil {
		t.Fatal(err)
	}
	want := host.Manifest{
		ABI: 1, Name: "weather", Version: "0.1.0", Kind: host.KindSkill, Description: "Says what the sky does", License: "Apache-2.0",
		Limits: host.SkillLimits{MemoryMiB: 64, TimeoutMS: 5000},
		Capabilities: []host.Need{
			{Name: host.CapHTTP, Reason: "to ask the forecast service", Hosts: []string{"api.example.com", "*.weather.example.org"}, Methods: []string{"GET"}},
			{Name: host.CapFS, Reason: "to remember places", Optional: true, Mode: "ro", Path: "places"},
		},
		Tools: []wire.Tool{
			{
				Name: "forecast", Description: "The weather of a city", Examples: []string{"weather in {city}"},
				InputSchema: []byte(`{"properties":{"annotations":{"default":"{}"},"city":{"type":"string"}},"required":["city"],"type":"object"}`),
			},
			{
				Name: "now", Description: "The weather here",
				InputSchema: []byte(`{"type":"object","properties":{}}`), Annotations: []byte(`{"readOnlyHint":true}`),
			},
		},
	}
	if !reflect.DeepEqual(m, want) || spec.Command != "make weather" {
		t.Fatalf("got  %+v %+v\nwant %+v", m, spec, want)
	}
}

func TestSkillTOMLErrors(t *testing.T) {
	for src, want := range map[string]string{
		strings.Replace(weatherTOML, "reason", "reson", 1):          `unknown key "reson", did you mean "reason"?`,
		strings.Replace(weatherTOML, "timeout_ms", "timeout", 1):    `unknown key "timeout"`,
		strings.Replace(weatherTOML, "mode =", "xqzzyxq =", 1):      `unknown key "xqzzyxq"`,
		strings.Replace(weatherTOML, "version =", "version", 1):     "line 3",
		strings.Replace(weatherTOML, "5000", `"5s"`, 1):             "timeout_ms",
		strings.Replace(weatherTOML, `'{"type":"object",`, "'{", 1): "tool \"now\": inputSchema",
		strings.Replace(weatherTOML, `"0.1.0"`, `"0.1 beta"`, 1):    "version",
		"":                                       "name",
		"a = " + strings.Repeat("[", 60_000):     "at most 4000",
		strings.Repeat("a.", 30_000) + "a=1":     "at most 4000",
		strings.Repeat("a.", 3_900) + "a=1":      "unknown key",
		strings.Repeat("#", skill.MaxManifest+1): "at most 65536",
	} {
		if _, _, err := ParseSkillTOML([]byte(src)); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", src, err, want)
		}
	}
}

func FuzzSkillTOML(f *testing.F) {
	f.Add([]byte(weatherTOML))
	f.Add([]byte("a = 1979-05-27T07:32:00Z\nb = nan\nc = [[1], {x = 2}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := ParseSkillTOML(b)
		if err != nil {
			if !errors.Is(err, host.ErrInvalid) {
				t.Fatalf("%v is not invalid", err)
			}
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := skill.ParseManifest(again); err != nil && len(again) <= skill.MaxManifest {
			t.Fatalf("what it says is no manifest: %v: %s", err, again)
		}
	})
}
