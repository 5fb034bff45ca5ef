/* Run on the machine it is written on: cc nanoclaw_test.c nanoclaw.c && ./a.out */
#include "nanoclaw.h"

#include <stdio.h>
#include <string.h>

typedef struct {
	const char *name;
	int64_t times;
	double scale;
	bool loud;
	const nc_json *rest;
} hello_in;

NC_INPUT(hello_in, NC_REQUIRED(hello_in, name, NC_STRING), NC_OPTIONAL(hello_in, times, NC_INTEGER),
	NC_OPTIONAL(hello_in, scale, NC_NUMBER), NC_OPTIONAL(hello_in, loud, NC_BOOL), NC_OPTIONAL(hello_in, rest, NC_ARRAY));

static nc_answer hello(const nc_context *c, const void *input) {
	const hello_in *in = input;
	if (!*in->name) return nc_fail("who?");
	return nc_text("Hello, %s, %lld %g %d %d in %s!", in->name, (long long)in->times, in->scale, in->loud, in->rest != NULL, c->timezone);
}

static nc_answer web(const nc_context *c, const void *input) {
	nc_response r;
	nc_error e = nc_http(&(nc_request){ .url = "https://x/" }, &r);
	(void)c, (void)input;
	return e.status ? nc_failed(e) : nc_object("{}");
}

NC_TOOLS(NC_TOOL("hello", hello, hello_in), NC_TOOL("web", web, hello_in));

static int failures;

static void want(const char *what, const char *got, const char *wanted) {
	if (strcmp(got, wanted)) failures++, printf("%s\n got %s\nwant %s\n", what, got, wanted);
}

static void text(const char *args, const char *tool, const char *answer, bool error) {
	char *in = nc_format("{\"tool\":\"%s\",\"arguments\":%s,\"call\":{\"timezone\":\"UTC\"}}", tool, args);
	nc_buf b = { 0 };
	nc_raw(&b, "{\"content\":[{\"type\":\"text\",\"text\":");
	nc_quote(&b, answer);
	nc_raw(&b, error ? "}],\"isError\":true}" : "}]}");
	want(in, nc_dispatch(in, strlen(in)), b.text);
}

int main(void) {
	static const char *const same[] = {
		"null", "true", "-0.5e+10", "\"a\\\"b\\\\\\n\\u0001\xc3\xa9\"", "[]", "{}", "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}",
		"12345678901234567890",
	};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		nc_buf b = { 0 };
		nc_json *v = nc_parse(same[i], strlen(same[i]));
		if (v) nc_write(&b, v);
		want("round trip", v ? b.text : "not JSON", same[i]);
	}
	static const char *const bad[] = {
		"", "nul", "[1,]", "{\"a\"}", "01", "1.", "\"a", "\"\\x\"", "\"\\u12\"", "1 2", "\"\n\"", "[", "-", "{\"a\":1,}",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) want(bad[i], nc_parse(bad[i], strlen(bad[i])) ? "read" : "refused", "refused");
	char deep[400];
	memset(deep, '[', sizeof deep);
	want("deep", nc_parse(deep, sizeof deep) ? "read" : "refused", "refused");
	static const char surrogates[] = "\"\\ud83d\\ude00\\ud800\\/\"";
	want("surrogates", nc_string(nc_parse(surrogates, strlen(surrogates))), "\xf0\x9f\x98\x80\xef\xbf\xbd/");

	text("{\"name\":\"Ada\"}", "hello", "Hello, Ada, 0 0 0 0 in UTC!", false);
	text("{\"name\":\"Ada\",\"times\":3,\"scale\":1.5,\"loud\":true,\"rest\":[1]}", "hello", "Hello, Ada, 3 1.5 1 1 in UTC!", false);
	text("{\"name\":\"\"}", "hello", "who?", true);
	text("{}", "hello", "invalid arguments: name is missing", true);
	text("{\"name\":3}", "hello", "invalid arguments: name: want a string", true);
	text("{\"name\":\"a\",\"times\":1.5}", "hello", "invalid arguments: times: want an integer", true);
	text("[]", "hello", "invalid arguments: want an object", true);
	text("{\"name\":\"\"}", "web", "denied: there is no host outside of wasm", true);
	text("{}", "nope", "this skill has no tool nope", true);
	want("not JSON", nc_dispatch("{", 1), "{\"content\":[{\"type\":\"text\",\"text\":\"this skill has no tool \"}],\"isError\":true}");
	return failures != 0;
}
