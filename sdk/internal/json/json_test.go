package json

import (
	stdjson "encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name string `json:"name"`
	Deep *inner `json:"deep,omitempty"`
}

type outer struct {
	inner          // inlined
	Text  string   `json:"text"`
	N     int      `json:"n,omitempty"`
	Small uint8    `json:"small"`
	F     float64  `json:"f"`
	OK    bool     `json:"ok,omitempty"`
	List  []string `json:"list"`
	Pair  [2]int
	Map   map[string]int     `json:"map,omitempty"`
	Any   any                `json:"any"`
	Raw   stdjson.RawMessage `json:"raw,omitempty"`
	Bytes []byte             `json:"bytes"`
	Skip  string             `json:"-"`
	Ptr   *int               `json:"ptr"`
	hide  int
}

func TestRoundTripAgreesWithEncodingJSON(t *testing.T) {
	three := 3
	in := outer{
		inner: inner{Name: "outer", Deep: &inner{Name: "in"}},
		Text:  "tab\t quote\" slash\\ bell\a é 😀 \u2028 <&>", N: -7, Small: 255, F: 1e-9, OK: true,
		List: []string{"a", ""}, Pair: [2]int{1, 2}, Map: map[string]int{"b": 2, "a": 1},
		Any: map[string]any{"x": []any{nil, true, 1.5, "s", map[string]any{}}}, Raw: stdjson.RawMessage(`{"k":[1]}`),
		Bytes: []byte{0, 1, 255}, Ptr: &three, Skip: "", hide: 0,
	}
	b, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var ours, std outer
	if err := stdjson.Unmarshal(b, &std); err != nil {
		t.Fatalf("encoding/json cannot read %s: %v", b, err)
	}
	if !reflect.DeepEqual(std, in) {
		t.Errorf("encoding/json reads %s\nas   %+v\nwant %+v", b, std, in)
	}
	if err := Unmarshal(b, &ours); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ours, in) {
		t.Errorf("we read %s\nas   %+v\nwant %+v", b, ours, in)
	}
	std2, _ := stdjson.Marshal(in)
	var a, c any
	_ = stdjson.Unmarshal(std2, &a)
	_ = stdjson.Unmarshal(b, &c)
	if !reflect.DeepEqual(a, c) {
		t.Errorf("we write  %s\nthey write %s", b, std2)
	}
}

func TestUnmarshalErrorsNameThePlace(t *testing.T) {
	type day struct {
		Name string `json:"name"`
		N    int8   `json:"n"`
	}
	type week struct {
		Days []day           `json:"days"`
		By   map[string]bool `json:"by"`
	}
	for in, want := range map[string]string{
		`{"days":[{"name":"a"},{"name":3}]}`: "days[1].name: want a string, got 3",
		`{"days":[{"n":1.5}]}`:               "days[0].n: want a whole number in range, got 1.5",
		`{"days":[{"n":128}]}`:               "days[0].n: want a whole number in range, got 128",
		`{"days":{}}`:                        "days: want a list, got an object",
		`{"by":{"x":"yes"}}`:                 "by.x: want true or false, got a string",
		`[]`:                                 "want an object, got a list",
		`{"days":[}`:                         "invalid JSON at byte 9",
		`{"x":1`:                             "invalid JSON: it ends too early",
		`{} {}`:                              "invalid JSON at byte 3",
		strings.Repeat("[", 1000):            "nested too deep",
	} {
		var w week
		err := Unmarshal([]byte(in), &w)
		if in[0] == '[' && len(in) > 2 {
			err = Check([]byte(in))
		}
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %s", in, err, want)
		}
	}
}

func TestWholeNumbersInOtherClothes(t *testing.T) {
	var v struct{ I, J int }
	if err := Unmarshal([]byte(`{"I":2.0,"j":1e3}`), &v); err != nil || v.I != 2 || v.J != 1000 {
		t.Errorf("got %+v, %v", v, err)
	}
}

func TestMarshalRefuses(t *testing.T) {
	loop := &inner{}
	loop.Deep = loop
	for name, v := range map[string]any{
		"func": func() {}, "chan": make(chan int), "nan": math.NaN(), "int keys": map[int]int{1: 1}, "cycle": loop,
		"bad raw": stdjson.RawMessage(`{`),
	} {
		if b, err := Marshal(v); err == nil {
			t.Errorf("%s: encoded as %s", name, b)
		}
	}
}

// FuzzUnmarshal: what is not JSON is refused, and what encoding/json decodes
// into a tree or a struct we decode to the same.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		`{"name":"x","deep":{"name":"\ud83d\ude00\ud800\u00e9"},"n":-0,"F":1e400}`, `[1,2.50,-0.1e+2,"\\\"\/\b\f\n\r\t",null]`,
		`{"list":["a",null],"pair":[1],"map":{"a":1},"any":{"a":[{}]},"raw": [1 , 2] ,"bytes":"AAE=","ptr":null}`, "01", "\"\xff\"", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := stdjson.Valid(b)
		if err := Check(b); err == nil != valid && !isDeep(err) {
			t.Fatalf("%q: valid is %v, we say %v", b, valid, err)
		}
		sameTree(t, b)
		var std, ours outer
		if stdjson.Unmarshal(b, &std) != nil || hasTwins(b) {
			_ = Unmarshal(b, &ours)
			return
		}
		if err := Unmarshal(b, &ours); err != nil && !isDeep(err) {
			t.Fatalf("%q: %v", b, err)
		} else if err == nil && !reflect.DeepEqual(std, ours) {
			t.Fatalf("%q:\nwe   %+v\nthey %+v", b, ours, std)
		}
	})
}

func sameTree(t *testing.T, b []byte) {
	t.Helper()
	var std, ours any
	stdErr, err := stdjson.Unmarshal(b, &std), Unmarshal(b, &ours)
	if isDeep(err) {
		return
	}
	if (stdErr == nil) != (err == nil) || stdErr == nil && !reflect.DeepEqual(std, ours) {
		t.Fatalf("%q:\nwe   %v %v\nthey %v %v", b, ours, err, std, stdErr)
	}
	if err != nil {
		return
	}
	again, err := Marshal(ours)
	if err != nil {
		t.Fatal(err)
	}
	var back any
	if err := stdjson.Unmarshal(again, &back); err != nil || !reflect.DeepEqual(std, back) {
		t.Fatalf("%q: written as %q: %v", b, again, err)
	}
}

func isDeep(err error) bool { return err != nil && strings.HasSuffix(err.Error(), "nested too deep") }

// hasTwins reports whether an object of b has keys that are equal but for case:
// there encoding/json merges what we replace.
func hasTwins(b []byte) bool {
	dec := stdjson.NewDecoder(strings.NewReader(string(b)))
	seen := map[string]bool{}
	for {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		if s, ok := tok.(string); ok {
			s = strings.ToLower(s)
			if seen[s] {
				return true
			}
			seen[s] = true
		}
	}
}
