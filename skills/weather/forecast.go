package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/web"
)

// units are what numbers are asked and shown in.
type units struct {
	query                   string
	temperature, wind, rain string
}

func unitsOf(setting string) (units, error) {
	switch setting {
	case "", "metric":
		return units{"", "°C", "km/h", "mm"}, nil
	case "imperial":
		return units{"&temperature_unit=fahrenheit&wind_speed_unit=mph&precipitation_unit=inch", "°F", "mph", "in"}, nil
	}
	return units{}, errors.New("the role's setting units is " + strconv.Quote(setting) + "; it must be metric or imperial")
}

// forecast is the service's answer. A number that it does not know is null.
type forecast struct {
	Current struct {
		Time        string   `json:"time"`
		Code        *float64 `json:"weather_code"`
		Temperature *float64 `json:"temperature_2m"`
		Feels       *float64 `json:"apparent_temperature"`
		Humidity    *float64 `json:"relative_humidity_2m"`
		Wind        *float64 `json:"wind_speed_10m"`
		Direction   *float64 `json:"wind_direction_10m"`
	} `json:"current"`
	Daily struct {
		Time   []string   `json:"time"`
		Code   []*float64 `json:"weather_code"`
		High   []*float64 `json:"temperature_2m_max"`
		Low    []*float64 `json:"temperature_2m_min"`
		Rain   []*float64 `json:"precipitation_sum"`
		Chance []*float64 `json:"precipitation_probability_max"`
		Wind   []*float64 `json:"wind_speed_10m_max"`
	} `json:"daily"`
}

const asked = "&current=temperature_2m,apparent_temperature,relative_humidity_2m,weather_code," +
	"wind_speed_10m,wind_direction_10m" +
	"&daily=weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max," +
	"wind_speed_10m_max&timezone=auto&forecast_days="

func forecastOf(p place, days int, u units) (*forecast, error) {
	f := new(forecast)
	query := web.Query("latitude", coordinate(p.Latitude), "longitude", coordinate(p.Longitude)) +
		asked + strconv.Itoa(days) + u.query
	if err := web.JSON(service, "https://api.open-meteo.com/v1/forecast?"+query, nil, f); err != nil {
		return nil, err
	}
	if f.Current.Temperature == nil && len(f.Daily.Time) == 0 {
		return nil, errors.New(service + " gave no weather for " + p.label())
	}
	f.Daily.Time = f.Daily.Time[:min(len(f.Daily.Time), days)]
	return f, nil
}

func coordinate(x float64) string { return strconv.FormatFloat(x, 'f', 4, 64) }

// text is the forecast in words.
func (f *forecast) text(where string, u units) string {
	c := &f.Current
	now := list(
		sky(c.Code),
		about("", c.Temperature, u.temperature),
		about("feels like ", c.Feels, u.temperature),
		about("humidity ", c.Humidity, "%"),
		about("wind ", c.Wind, " "+u.wind)+from(c.Direction),
	)
	var b strings.Builder
	b.WriteString(where)
	if _, clock, ok := strings.Cut(c.Time, "T"); ok && now != "" {
		b.WriteString(", " + short(clock))
	}
	if now != "" {
		b.WriteString(": " + now)
	}
	for i, day := range f.Daily.Time {
		line := list(
			sky(at(f.Daily.Code, i)),
			span(at(f.Daily.Low, i), at(f.Daily.High, i), u.temperature),
			rain(at(f.Daily.Rain, i), at(f.Daily.Chance, i), u.rain),
			about("wind up to ", at(f.Daily.Wind, i), " "+u.wind),
		)
		if line == "" {
			line = "not known"
		}
		b.WriteString("\n" + date(day, i == 0) + ": " + line)
	}
	return b.String()
}

// list joins the parts that say something.
func list(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, ", ")
}

func at(list []*float64, i int) *float64 {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// about is a number as people say it, "" when it is not known, or nothing of this world.
func about(before string, x *float64, unit string) string {
	if x == nil || math.Abs(*x) > 10_000 {
		return ""
	}
	return before + strconv.FormatFloat(math.Round(*x)+0, 'f', 0, 64) + unit // +0 makes -0 zero
}

func span(low, high *float64, unit string) string {
	if low == nil || high == nil {
		return ""
	}
	return about("", low, "") + about(" to ", high, unit)
}

func rain(sum, chance *float64, unit string) string {
	switch {
	case sum == nil || !(*sum >= 0 && *sum < 10_000):
		return ""
	case *sum < 0.05 && unit == "mm" || *sum < 0.005:
		return "dry"
	}
	digits := 1
	if unit == "in" {
		digits = 2
	}
	text := strconv.FormatFloat(*sum, 'f', digits, 64) + " " + unit + " of rain or snow"
	return text + about(" (", chance, "% likely)")
}

// from is where a wind of so many degrees comes from.
func from(degrees *float64) string {
	if degrees == nil || !(*degrees >= 0 && *degrees <= 360) {
		return ""
	}
	points := []string{"north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"}
	return " from the " + points[int(*degrees/45+0.5)%8]
}

// date is "Tue 24 Nov" of "2026-11-24"; what is no date is shown short.
func date(s string, first bool) string {
	d, ok := clock.ParseDate(s)
	if !ok {
		return short(s)
	}
	text := d.Weekday() + " " + strconv.Itoa(d.Day) + " " + d.MonthName()
	if first {
		return "Today, " + text
	}
	return text
}

func short(s string) string { return strings.ToValidUTF8(s[:min(len(s), 20)], "") }

// skies are the WMO codes (table 4677) that the service uses.
var skies = map[int]string{
	0: "clear sky", 1: "mainly clear", 2: "partly cloudy", 3: "overcast", 45: "fog", 48: "fog with rime",
	51: "light drizzle", 53: "drizzle", 55: "heavy drizzle", 56: "light freezing drizzle", 57: "freezing drizzle",
	61: "light rain", 63: "rain", 65: "heavy rain", 66: "light freezing rain", 67: "freezing rain",
	71: "light snow", 73: "snow", 75: "heavy snow", 77: "snow grains", 80: "light showers", 81: "showers",
	82: "violent showers", 85: "light snow showers", 86: "snow showers", 95: "thunderstorm",
	96: "thunderstorm with hail", 99: "thunderstorm with heavy hail",
}

func sky(code *float64) string {
	if code == nil || !(*code >= 0 && *code < 100) {
		return ""
	}
	if s := skies[int(*code)]; s != "" {
		return s
	}
	return "weather code " + strconv.Itoa(int(*code))
}
