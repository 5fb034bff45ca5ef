// Skill weather says the weather of a place, as Open-Meteo forecasts it. It has the
// capability http for the two hosts of that service, which need no key.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/web"
)

const (
	service     = "Open-Meteo"
	defaultDays = 3
	maxDays     = 16
	maxPlace    = 100 // bytes of a name
	maxOthers   = 4   // places of the same name that are named
)

type input struct {
	Place string `json:"place"`
	Days  int    `json:"days"`
}

func init() { sdk.Tool("weather", weather) }

func main() {}

func weather(_ sdk.Context, in input) (string, error) {
	if strings.TrimSpace(in.Place) == "" {
		in.Place = sdk.Setting("place")
	}
	if in.Days <= 0 {
		in.Days = defaultDays
	}
	units, err := unitsOf(sdk.Setting("units"))
	if err != nil {
		return "", err
	}
	at, others, err := find(in.Place)
	if err != nil {
		return "", err
	}
	f, err := forecastOf(at, min(in.Days, maxDays), units)
	if err != nil {
		return "", err
	}
	text := f.text(at.label(), units)
	if len(others) > 0 {
		text += "\n\nOther places of this name: " + strings.Join(others, "; ") + "."
	}
	return text, nil
}

// place is a place as the geocoding service knows it.
type place struct {
	Name       string  `json:"name"`
	Latitude   float64 `json:"latitude"`
	Longitude  float64 `json:"longitude"`
	Country    string  `json:"country"`
	Code       string  `json:"country_code"`
	Region     string  `json:"admin1"`
	District   string  `json:"admin2"`
	Population float64 `json:"population"`
}

// label is the name of a place as people tell it from others.
func (p place) label() string {
	parts := []string{word(p.Name)}
	for _, s := range []string{word(p.Region), word(p.Country)} {
		if s != "" && s != parts[len(parts)-1] {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// word is a name of the service, on one line and not for ever.
func word(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToValidUTF8(s[:min(len(s), 60)], "")
}

// is reports whether word names p's region, district or country.
func (p place) is(word string) bool {
	for _, s := range []string{p.Country, p.Code, p.Region, p.District} {
		if strings.EqualFold(s, word) {
			return true
		}
	}
	return false
}

// find looks a place up: the one most people would mean, and others they may have meant.
func find(wanted string) (at place, others []string, err error) {
	parts := strings.Split(wanted, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	name := parts[0]
	if name == "" {
		return at, nil, errors.New("say for which place: there is none, nor does the role's setting place name one")
	}
	if len(wanted) > maxPlace {
		return at, nil, errors.New("the place has more than " + strconv.Itoa(maxPlace) + " bytes")
	}
	var a struct {
		Results []place `json:"results"`
	}
	query := web.Query("name", name, "count", "20", "language", "en", "format", "json")
	if err := web.JSON(service, "https://geocoding-api.open-meteo.com/v1/search?"+query, nil, &a); err != nil {
		return at, nil, err
	}
	found := narrowed(a.Results, parts[1:])
	if len(found) == 0 {
		return at, nil, errors.New(service + " knows no place " + strconv.Quote(wanted))
	}
	at = found[0]
	for _, p := range found[1:] { // as large as one that may be meant, and not another spelling of it
		label := p.label()
		if p.Population*20 >= at.Population && p.Population > 0 && strings.EqualFold(p.Name, at.Name) &&
			label != at.label() && len(others) < maxOthers {
			others = append(others, label)
		}
	}
	return at, others, nil
}

// narrowed keeps the places that all words fit.
func narrowed(in []place, words []string) (out []place) {
next:
	for _, p := range in {
		for _, w := range words {
			if w != "" && !p.is(w) {
				continue next
			}
		}
		if p.Name != "" {
			out = append(out, p)
		}
	}
	return out
}
