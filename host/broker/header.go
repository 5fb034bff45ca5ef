package broker

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const maxHeaders = 16 << 10 // bytes, names and values

// Headers a caller may not set: those of the connection, and those that make a server act
// for another method, path or origin than the one that was matched.
var fixedHeaders = strings.Fields("host connection keep-alive te trailer transfer-encoding upgrade content-length " +
	"accept-encoding expect forwarded via x-real-ip origin referer")

// Parts of names by which servers take credentials, or one of the same.
var authLike = strings.Fields("auth cookie token secret session credential passw apikey api-key access-key " +
	"subscription-key functions-key private-key x-amz-security proxy- x-forwarded method-override x-http-method " +
	"x-original- x-rewrite- -host")

// asServers is the name of a header in the form that some servers make all of its spellings into.
func asServers(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

func forbiddenHeader(name string) bool {
	n := asServers(name)
	return slices.Contains(fixedHeaders, n) ||
		slices.ContainsFunc(authLike, func(part string) bool { return strings.Contains(n, part) })
}

// safeHeader names what says nothing about the caller: public_web takes only these, and
// only these follow a redirect to another origin.
func safeHeader(name string) bool {
	return slices.Contains([]string{"Accept", "Accept-Language", "User-Agent", "Range"}, name) ||
		strings.HasPrefix(name, "If-")
}

func callerHeader(in map[string]string) (http.Header, error) {
	out := http.Header{"User-Agent": {"NanoClaw"}}
	seen := 0
	for name, value := range in {
		seen += len(name) + len(value)
		switch {
		case seen > maxHeaders:
			return nil, tooLarge("the headers have more than %d bytes", maxHeaders)
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return nil, invalid("a header has a character that headers cannot have")
		case forbiddenHeader(name):
			return nil, deny("skills do not set credentials, nor headers of the connection")
		}
		key := http.CanonicalHeaderKey(name)
		if _, twice := out[key]; twice && key != "User-Agent" {
			return nil, invalid("a header is given twice")
		}
		out.Set(key, value)
	}
	return out, nil
}

func headerBytes(h http.Header) (n int) {
	for name, values := range h {
		n += len(name) + len(strings.Join(values, ""))
	}
	return n
}

// onlySafe holds a public_web request to what reading takes.
func onlySafe(h *hop) error {
	for name := range h.header {
		if !safeHeader(name) {
			return deny("%s: public_web takes only Accept, Accept-Language, User-Agent, Range and If- headers", h.to.host)
		}
	}
	if len(h.body) > 0 {
		return deny("%s: public_web takes no body", h.to.host)
	}
	return nil
}
