/* The lab in C: what it reports is the same in every language. */
#include "nanoclaw.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
	const char *url, *other;
} lab_in;
NC_INPUT(lab_in, NC_REQUIRED(lab_in, url, NC_STRING), NC_OPTIONAL(lab_in, other, NC_STRING));

static const char *kind(nc_error e) {
	return e.status == NC_DENIED ? "denied" : e.status == NC_NOT_FOUND ? "not_found" : e.message;
}

static const char *post(const char *url) {
	nc_response r;
	nc_error e = nc_http(&(nc_request){ .method = "POST", .url = url, .headers = "{\"X-Lab\":\"1\"}", .body = "ping" }, &r);
	if (e.status) return kind(e);
	return nc_format("%d %s %s", r.status, r.body, nc_string(nc_get(r.headers, "X-Answer")));
}

static const char *keys(void) {
	static const char *const all[] = { "a1", "a2", "b" };
	const char *v;
	const nc_json *list;
	nc_error e;
	for (int i = 0; i < 3; i++)
		if ((e = nc_kv_put(all[i], nc_format("value of %s", all[i]))).status) return kind(e);
	if ((e = nc_kv_delete("a1")).status || (e = nc_kv_get("a2", &v)).status || (e = nc_kv_list("a", 5, &list)).status) return kind(e);
	return nc_format("%s %s", v, nc_string(list->child));
}

static const char *no_key(void) {
	const char *v;
	nc_error e = nc_kv_get("never", &v);
	return e.status ? kind(e) : v;
}

static const char *model(void) {
	const char *text;
	nc_error e = nc_ask("s", "hi", &text);
	return e.status ? kind(e) : *text ? "true" : "false";
}

static const char *tool(void) {
	const nc_json *outcome;
	nc_error e = nc_call_tool("lab_fail", "{}", &outcome);
	return e.status ? kind(e) : nc_string(nc_get(outcome, "outcome"));
}

static const char *of_errno(void) { return errno == ENOENT ? "not_found" : errno == EACCES || errno == ENOTCAPABLE ? "denied" : strerror(errno); }

static bool add(const char *path, const char *mode, const char *text) {
	FILE *f = fopen(path, mode);
	return f && fputs(text, f) >= 0 && !fclose(f);
}

static const char *files(void) {
	const char *dir = NC_WORKSPACE "/d", *file = NC_WORKSPACE "/d/f.txt", *name = "";
	char text[100] = "";
	if (mkdir(dir, 0755) || !add(file, "w", "one ") || !add(file, "a", "two")) return of_errno();
	FILE *f = fopen(file, "r");
	if (!f || !fgets(text, sizeof text, f)) return of_errno();
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		if (*e->d_name != '.') name = nc_format("%s", e->d_name);
	const char *gone = fopen(NC_WORKSPACE "/d/gone", "r") ? "there" : of_errno();
	if (unlink(file)) return of_errno();
	return nc_format("%s %s %s", text, name, gone);
}

static nc_answer lab(const nc_context *c, const void *input) {
	const lab_in *in = input;
	const char *http = post(in->url), *elsewhere = post(in->other ? in->other : "");
	const char *kv = keys(), *never = no_key(), *llm = model(), *other = tool(), *fs = files();
	nc_log(NC_WARN, "a line of the log");
	return nc_text("http: %s\nelsewhere: %s\nkv: %s\nno key: %s\nllm: %s\ntool: %s\nfs: %s\n%s %s", http, elsewhere, kv, never, llm,
		other, fs, c->tool, c->timezone);
}

typedef struct {
	const nc_json *a;
} echo_in;
NC_INPUT(echo_in, NC_REQUIRED(echo_in, a, NC_ANY));

static nc_answer echo(const nc_context *c, const void *input) {
	nc_buf b = { 0 };
	(void)c;
	nc_raw(&b, "{\"a\":");
	nc_write(&b, ((const echo_in *)input)->a);
	nc_raw(&b, "}");
	return nc_object(b.text);
}

static nc_answer fail(const nc_context *c, const void *input) {
	(void)c, (void)input;
	return nc_fail("it was asked to fail");
}

typedef struct {
	char none;
} fail_in;
static const nc_field fail_in_fields[] = { { 0 } };

NC_TOOLS(NC_TOOL("lab", lab, lab_in), NC_TOOL("echo", echo, echo_in), NC_TOOL("fail", fail, fail_in));
