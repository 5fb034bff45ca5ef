package web

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func TestQuery(t *testing.T) {
	got := Query("q", "a b&c=d/é", "none", "", "n", "1,2", "odd")
	if want := "q=a+b%26c%3Dd%2F%C3%A9&n=1,2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("a b&c=d/é%zz\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if got := Param("https://x/?a=1&"+Query("q", s)+"#f", "q"); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
		if v, err := url.ParseQuery(Query("q", s)); err != nil || v.Get("q") != s {
			t.Errorf("net/url reads %q, %v of %q", v.Get("q"), err, s)
		}
	})
}

func TestParam(t *testing.T) {
	for in, want := range map[string]string{
		"//d/l/?uddg=https%3A%2F%2Fgo.dev%2F%3Fa%3Db&rut=1": "https://go.dev/?a=b", "x": "", "x?uddg=%": "", "x?uddg=%4": "",
		"x?uddg=%zz": "", "x?Uddg=1": "", "x#?uddg=a": "a", "x?a#uddg=1": "",
	} {
		if got := Param(in, "uddg"); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body, want string
	}{
		"good":      {200, ` {"n": 3}`, ""},
		"garbage":   {200, `{"n": 3`, "The test gave an answer that cannot be read"},
		"other":     {200, `{"n": "x"}`, "The test gave an answer that cannot be read: n: want"},
		"page":      {200, "<!doctype html><p>Log in", "The test answered with a web page instead of data"},
		"empty":     {200, "\n", "The test gave an empty answer"},
		"too many":  {429, "", "The test has had too many requests (status 429); try again later"},
		"no key":    {401, "", "The test refused the request (status 401): its key is missing or wrong"},
		"broken":    {503, "", "The test is out of order (status 503); try again later"},
		"not there": {404, "", "The test answered with status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			h := sdktest.New(t)
			h.HTTP = func(sdk.Request) (*sdk.Response, error) {
				return &sdk.Response{Status: c.status, Body: []byte(c.body)}, nil
			}
			var v struct{ N int }
			err := JSON("The test", "https://x/", nil, &v)
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) || err == nil && v.N != 3 {
				t.Errorf("got %+v, %v; want %q", v, err, c.want)
			}
		})
	}
	h := sdktest.New(t)
	h.HTTP = func(sdk.Request) (*sdk.Response, error) {
		return nil, &sdk.Error{Status: wire.StatusDenied, Message: "no grant"}
	}
	if err := JSON("The test", "https://x/", nil, nil); !errors.Is(err, sdk.ErrDenied) ||
		err.Error() != "The test cannot be asked: denied: no grant" {
		t.Errorf("got %v", err)
	}
}
