package main

import (
	"os"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// try asks for the weather of a world in which the two hosts answer like this.
func try(t *testing.T, settings map[string]string, in input, geo, weather sdk.Response) (got string, asked []string) {
	t.Helper()
	t.Run("ask", func(t *testing.T) {
		h := sdktest.New(t)
		h.Settings = settings
		h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
			asked = append(asked, r.URL)
			switch {
			case strings.HasPrefix(r.URL, "https://geocoding-api.open-meteo.com/v1/search?"):
				return &geo, nil
			case strings.HasPrefix(r.URL, "https://api.open-meteo.com/v1/forecast?"):
				return &weather, nil
			}
			return nil, &sdk.Error{Status: wire.StatusDenied, Message: "host not granted"}
		}
		r := h.Call("weather", in)
		if got = r.Text(); r.IsError {
			got = "error: " + got
		}
	})
	return got, asked
}

func ok(body string) sdk.Response { return sdk.Response{Status: 200, Body: []byte(body)} }

const berlin = `Berlin, State of Berlin, Germany, 10:15: light rain, 5°C, feels like 0°C, humidity 87%, wind 18 km/h from the southwest
Today, Tue 24 Nov: rain, 3 to 6°C, 8.4 mm of rain or snow (95% likely), wind up to 26 km/h
Wed 25 Nov: overcast, 3 to 7°C, dry, wind up to 14 km/h
Thu 26 Nov: light snow, -3 to 1°C, 1.2 mm of rain or snow, wind up to 11 km/h`

func TestWeather(t *testing.T) {
	got, asked := try(t, nil, input{Place: " Berlin "}, ok(file(t, "berlin.json")), ok(file(t, "forecast.json")))
	if got != berlin {
		t.Errorf("got\n%s\nwant\n%s", got, berlin)
	}
	want := "https://geocoding-api.open-meteo.com/v1/search?name=Berlin&count=20&language=en&format=json " +
		"https://api.open-meteo.com/v1/forecast?latitude=52.5244&longitude=13.4105" + asked0 + "3"
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked\n%s, want\n%s", got, want)
	}
}

const asked0 = "&current=temperature_2m,apparent_temperature,relative_humidity_2m,weather_code,wind_speed_10m,wind_direction_10m" +
	"&daily=weather_code,temperature_2m_max,temperature_2m_min,precipitation_sum,precipitation_probability_max,wind_speed_10m_max" +
	"&timezone=auto&forecast_days="

func TestSettings(t *testing.T) {
	set := map[string]string{"place": "Berlin, Germany", "units": "imperial"}
	got, asked := try(t, set, input{Days: 99}, ok(file(t, "berlin.json")), ok(file(t, "forecast.json")))
	if !strings.Contains(got, "3 to 6°F, 8.40 in of rain") || !strings.Contains(got, "wind 18 mph") {
		t.Errorf("got %s", got)
	}
	if !strings.HasSuffix(asked[1], asked0+"16&temperature_unit=fahrenheit&wind_speed_unit=mph&precipitation_unit=inch") {
		t.Errorf("asked %s", asked[1])
	}
	if got, asked := try(t, map[string]string{"units": "kelvin"}, input{Place: "x"}, ok(""), ok("")); len(asked) > 0 ||
		got != `error: the role's setting units is "kelvin"; it must be metric or imperial` {
		t.Errorf("got %s", got)
	}
	if got, _ := try(t, nil, input{}, ok(""), ok("")); !strings.HasPrefix(got, "error: say for which place") {
		t.Errorf("got %s", got)
	}
}

func TestPlaces(t *testing.T) {
	for in, want := range map[string][2]string{
		"springfield":             {"Springfield, Missouri, United States", "Springfield, Massachusetts, United States; Springfield, Illinois, United States."},
		"Springfield, Illinois":   {"Springfield, Illinois, United States", ""},
		"Springfield, US, greene": {"Springfield, Missouri, United States", ""},
		"Springfield,Australia":   {"Springfield, Queensland, Australia", ""},
		"Springfield, Mars":       {`error: Open-Meteo knows no place "Springfield, Mars"`, ""},
		", Mars":                  {"error: say for which place", ""},
		strings.Repeat("x", 101):  {"error: the place has more than 100 bytes", ""},
	} {
		got, _ := try(t, nil, input{Place: in}, ok(file(t, "springfield.json")), ok(file(t, "forecast.json")))
		_, others, _ := strings.Cut(got, "\n\nOther places of this name: ")
		if !strings.HasPrefix(got, want[0]) || others != want[1] {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	geo := ok(file(t, "berlin.json"))
	for name, c := range map[string]struct {
		geo, weather sdk.Response
		want         string
	}{
		"no place":         {ok(`{"generationtime_ms":0.4}`), ok(""), `error: Open-Meteo knows no place "x"`},
		"place: garbage":   {ok(`{"results":[`), ok(""), "error: Open-Meteo gave an answer that cannot be read"},
		"place: page":      {ok("<html>"), ok(""), "error: Open-Meteo answered with a web page instead of data"},
		"place: nameless":  {ok(`{"results":[{"latitude":1}]}`), ok(""), `error: Open-Meteo knows no place "x"`},
		"place: 429":       {sdk.Response{Status: 429}, ok(""), "error: Open-Meteo has had too many requests (status 429); try again later"},
		"weather: 400":     {geo, sdk.Response{Status: 400, Body: []byte(`{"error":true,"reason":"x"}`)}, "error: Open-Meteo answered with status 400"},
		"weather: 503":     {geo, sdk.Response{Status: 503}, "error: Open-Meteo is out of order"},
		"weather: empty":   {geo, ok(""), "error: Open-Meteo gave an empty answer"},
		"weather: nothing": {geo, ok("{}"), "error: Open-Meteo gave no weather for Berlin, State of Berlin, Germany"},
		"weather: types":   {geo, ok(`{"current":{"temperature_2m":"warm"}}`), "error: Open-Meteo gave an answer that cannot be read: current.temperature_2m"},
		"only now":         {geo, ok(`{"current":{"temperature_2m":-0.4}}`), "Berlin, State of Berlin, Germany: 0°C"},
		"only a date":      {geo, ok(`{"daily":{"time":["2026-11-24"]}}`), "Berlin, State of Berlin, Germany\nToday, Tue 24 Nov: not known"},
		"short lists":      {geo, ok(`{"daily":{"time":["2026-11-24","x"],"weather_code":[42],"temperature_2m_max":[1e300],"wind_speed_10m_max":[null,3]}}`), "Berlin, State of Berlin, Germany\nToday, Tue 24 Nov: weather code 42\nx: wind up to 3 km/h"},
		"strange numbers":  {geo, ok(`{"current":{"temperature_2m":1,"weather_code":1e99,"wind_speed_10m":2,"wind_direction_10m":-1e99},"daily":{"time":["2026-11-24"],"precipitation_sum":[-1e99]}}`), "Berlin, State of Berlin, Germany: 1°C, wind 2 km/h\nToday, Tue 24 Nov: not known"},
		"many days":        {geo, ok(`{"daily":{"time":["` + strings.Repeat(`2026-11-24","`, 1000) + `"]}}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := try(t, nil, input{Place: "x"}, c.geo, c.weather)
			if !strings.HasPrefix(got, c.want) || !strings.HasPrefix(c.want, "error") && c.want != "" && got != c.want || len(got) > 2000 {
				t.Errorf("got %.300q, want %q", got, c.want)
			}
		})
	}
	huge := ok(`{"results":[{"name":"` + strings.Repeat("Berlin ", 10_000) + `"}]}`)
	if got, _ := try(t, nil, input{Place: "x"}, huge, ok(file(t, "forecast.json"))); len(got) > 1000 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestDenied(t *testing.T) {
	r := sdktest.Call(t, "weather", input{Place: "x"})
	if !r.IsError || r.Text() != "Open-Meteo cannot be asked: denied: http is not granted" {
		t.Errorf("got %+v", r)
	}
}

func TestWind(t *testing.T) {
	for degrees, want := range map[float64]string{0: "north", 22: "north", 23: "northeast", 180: "south", 338: "north", 360: "north"} {
		if got := from(&degrees); got != " from the "+want {
			t.Errorf("%g: %q", degrees, got)
		}
	}
}
