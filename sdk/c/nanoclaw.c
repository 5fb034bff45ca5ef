/* The guest API for skills written in C; see nanoclaw.h. */
#include "nanoclaw.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The lowest layer: one function for each import module. A capability is reached through its
 * own function alone, so that the linker drops the import of one that a skill never calls.
 */
#ifdef __wasm__
#define CORE(name) __attribute__((import_module("nanoclaw_core_1"), import_name(name)))
CORE("input_read") uint32_t input_read(void *dst, uint32_t off, uint32_t len);
CORE("output_write") void output_write(const void *src, uint32_t len);
CORE("result_read") uint32_t result_read(void *dst, uint32_t off, uint32_t len);
CORE("log") void log_write(uint32_t level, const void *src, uint32_t len);
#define CAPABILITY(name) \
	__attribute__((import_module("nanoclaw_" #name "_1"), import_name("call"))) \
	uint64_t name##_call(const void *src, uint32_t len);
#else /* a test of a skill on the machine it is written on: there is no host */
static const char no_host[] = "{\"code\":\"denied\",\"message\":\"there is no host outside of wasm\"}";
static uint32_t result_read(void *dst, uint32_t off, uint32_t len) {
	memcpy(dst, no_host + off, len);
	return len;
}
static void log_write(uint32_t level, const void *src, uint32_t len) {
	fprintf(stderr, "log %u: %.*s\n", level, (int)len, (const char *)src);
}
#define CAPABILITY(name) \
	static uint64_t name##_call(const void *src, uint32_t len) { \
		(void)src, (void)len; \
		return (uint64_t)NC_DENIED << 32 | (sizeof no_host - 1); \
	}
#endif
CAPABILITY(http)
CAPABILITY(llm)
CAPABILITY(kv)
CAPABILITY(tool)

static void *alloc(size_t n) {
	void *p = calloc(1, n ? n : 1);
	if (!p) __builtin_trap();
	return p;
}

/* ---- Text ---- */

static void append(nc_buf *b, const char *s, size_t n) {
	if (b->len + n + 1 > b->cap) {
		b->cap = 2 * (b->len + n + 1);
		b->text = realloc(b->text, b->cap);
		if (!b->text) __builtin_trap();
	}
	memcpy(b->text + b->len, s, n);
	b->len += n;
	b->text[b->len] = 0;
}

static char *vformat(const char *format, va_list args) {
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0) return "";
	char *s = alloc((size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, format, args);
	return s;
}

#define FORMAT(s) \
	va_list args; \
	va_start(args, format); \
	char *s = vformat(format, args); \
	va_end(args)

char *nc_format(const char *format, ...) {
	FORMAT(s);
	return s;
}

void nc_raw(nc_buf *b, const char *json) { append(b, json, strlen(json)); }
void nc_quote(nc_buf *b, const char *text) { nc_quote_len(b, text, strlen(text)); }

void nc_quote_len(nc_buf *b, const char *s, size_t n) {
	static const char hex[] = "0123456789abcdef", short_for[] = "b\bf\fn\nr\rt\t\"\"\\\\";
	append(b, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *e = NULL;
		for (const char *p = short_for; *p && !e; p += 2)
			if ((unsigned char)p[1] == c) e = p;
		if (e) {
			append(b, "\\", 1);
			append(b, e, 1);
		} else if (c < ' ') {
			char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
			append(b, u, 6);
		} else {
			append(b, s + i, 1);
		}
	}
	append(b, "\"", 1);
}

void nc_member(nc_buf *b, const char *name, const char *text) {
	if (b->len && b->text[b->len - 1] != '{') append(b, ",", 1);
	nc_quote(b, name);
	append(b, ":", 1);
	nc_quote(b, text);
}

void nc_write(nc_buf *b, const nc_json *v) {
	switch (v->kind) {
	case NC_BOOL: nc_raw(b, v->boolean ? "true" : "false"); break;
	case NC_NUMBER: append(b, v->text, v->len); break;
	case NC_STRING: nc_quote_len(b, v->text, v->len); break;
	case NC_ARRAY:
	case NC_OBJECT:
		append(b, v->kind == NC_ARRAY ? "[" : "{", 1);
		for (const nc_json *c = v->child; c; c = c->next) {
			if (c != v->child) append(b, ",", 1);
			if (c->name) nc_quote(b, c->name), append(b, ":", 1);
			nc_write(b, c);
		}
		append(b, v->kind == NC_ARRAY ? "]" : "}", 1);
		break;
	default: nc_raw(b, "null");
	}
}

/* ---- Reading JSON ---- */

enum { MAX_DEPTH = 128 };

typedef struct {
	const char *p, *end;
} reader;

static void space(reader *r) {
	while (r->p < r->end && strchr(" \t\r\n", *r->p) && *r->p) r->p++;
}

static bool take(reader *r, char c) {
	if (r->p >= r->end || *r->p != c) return false;
	r->p++;
	return true;
}

static bool digits(reader *r) {
	const char *start = r->p;
	while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
	return r->p > start;
}

static bool number(reader *r, nc_json *v) {
	const char *start = r->p;
	take(r, '-');
	if (!take(r, '0') && !digits(r)) return false;
	if (take(r, '.') && !digits(r)) return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+')) take(r, '-');
		if (!digits(r)) return false;
	}
	nc_buf b = { 0 };
	append(&b, start, (size_t)(r->p - start));
	v->kind = NC_NUMBER, v->text = b.text, v->len = b.len;
	return true;
}

static bool hex4(reader *r, uint32_t *code) {
	*code = 0;
	for (int i = 0; i < 4; i++, r->p++) {
		if (r->p >= r->end) return false;
		char c = *r->p, low = (char)(c | 32);
		if (c >= '0' && c <= '9') *code = *code << 4 | (uint32_t)(c - '0');
		else if (low >= 'a' && low <= 'f') *code = *code << 4 | (uint32_t)(low - 'a' + 10);
		else return false;
	}
	return true;
}

static void utf8(nc_buf *b, uint32_t c) {
	char s[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	for (size_t i = n; i-- > 1; c >>= 6) s[i] = (char)(0x80 | (c & 0x3f));
	s[0] = (char)(lead[n] | c);
	append(b, s, n);
}

static bool escape(reader *r, nc_buf *b) {
	static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	if (r->p >= r->end) return false;
	char c = *r->p++;
	for (const char *e = plain; *e; e += 2)
		if (*e == c) return append(b, e + 1, 1), true;
	uint32_t code, low;
	if (c != 'u' || !hex4(r, &code)) return false;
	if (code >= 0xd800 && code < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
		r->p += 2;
		if (!hex4(r, &low)) return false;
		if (low >= 0xdc00 && low < 0xe000) code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	utf8(b, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
	return true;
}

static bool string(reader *r, nc_buf *b) {
	append(b, "", 0);
	if (!take(r, '"')) return false;
	while (r->p < r->end && *r->p != '"') {
		const char *start = r->p;
		while (r->p < r->end && *r->p != '"' && *r->p != '\\' && (unsigned char)*r->p >= ' ') r->p++;
		append(b, start, (size_t)(r->p - start));
		if (r->p < r->end && (unsigned char)*r->p < ' ') return false;
		if (take(r, '\\') && !escape(r, b)) return false;
	}
	return take(r, '"');
}

static bool value(reader *r, nc_json *v, int depth);

static bool members(reader *r, nc_json *v, int depth) {
	char close = v->kind == NC_OBJECT ? '}' : ']';
	nc_json **last = &v->child;
	space(r);
	if (take(r, close)) return true;
	do {
		nc_json *c = alloc(sizeof *c);
		if (v->kind == NC_OBJECT) {
			nc_buf name = { 0 };
			space(r);
			if (!string(r, &name)) return false;
			c->name = name.text;
			space(r);
			if (!take(r, ':')) return false;
		}
		if (!value(r, c, depth + 1)) return false;
		*last = c, last = &c->next;
		space(r);
	} while (take(r, ','));
	return take(r, close);
}

static bool word(reader *r, const char *w) {
	size_t n = strlen(w);
	if ((size_t)(r->end - r->p) < n || memcmp(r->p, w, n)) return false;
	r->p += n;
	return true;
}

static bool value(reader *r, nc_json *v, int depth) {
	if (depth > MAX_DEPTH) return false;
	space(r);
	if (r->p >= r->end) return false;
	if (take(r, '{')) return v->kind = NC_OBJECT, members(r, v, depth);
	if (take(r, '[')) return v->kind = NC_ARRAY, members(r, v, depth);
	if (*r->p == '"') {
		nc_buf b = { 0 };
		bool ok = string(r, &b);
		v->kind = NC_STRING, v->text = b.text, v->len = b.len;
		return ok;
	}
	if (word(r, "null")) return true;
	if (word(r, "false")) return v->kind = NC_BOOL, true;
	if (word(r, "true")) return v->kind = NC_BOOL, v->boolean = true, true;
	return number(r, v);
}

nc_json *nc_parse(const char *text, size_t len) {
	reader r = { text, text + len };
	nc_json *v = alloc(sizeof *v);
	if (!value(&r, v, 0)) return NULL;
	space(&r);
	return r.p == r.end ? v : NULL;
}

const nc_json *nc_get(const nc_json *v, const char *name) {
	const nc_json *found = NULL;
	if (!v || v->kind != NC_OBJECT) return NULL;
	for (const nc_json *c = v->child; c; c = c->next)
		if (!strcmp(c->name, name)) found = c;
	return found;
}

const char *nc_string(const nc_json *v) { return v && v->kind == NC_STRING ? v->text : ""; }

/* ---- Answers ---- */

nc_answer nc_text(const char *format, ...) {
	FORMAT(s);
	return (nc_answer){ .text = s };
}

nc_answer nc_fail(const char *format, ...) {
	FORMAT(s);
	return (nc_answer){ .text = s, .is_error = true };
}

static const char *const codes[] = {
	"ok", "denied", "invalid", "not_found", "timeout", "cancelled", "too_large", "rate_limited", "unavailable", "internal",
};

nc_answer nc_failed(nc_error e) {
	const char *code = codes[e.status <= NC_INTERNAL ? e.status : NC_INTERNAL];
	return *e.message ? nc_fail("%s: %s", code, e.message) : nc_fail("%s", code);
}

nc_answer nc_object(const char *json) { return (nc_answer){ .text = json, .structured = json }; }

static const char *wanted(nc_kind k) {
	static const char *const names[] = {
		"null", "true or false", "a number", "a string", "an array", "an object", "an integer", "a value",
	};
	return names[k];
}

/* Puts one argument where it belongs; false when it does not fit. */
static bool put(const nc_field *f, const nc_json *v, char *input) {
	void *at = input + f->at;
	char *end = "";
	errno = 0;
	switch (f->kind) {
	case NC_STRING: *(const char **)at = v->text; break;
	case NC_BOOL: *(bool *)at = v->boolean; break;
	case NC_NUMBER:
		if (v->kind == NC_NUMBER) *(double *)at = strtod(v->text, &end);
		break;
	case NC_INTEGER:
		if (v->kind == NC_NUMBER) *(int64_t *)at = strtoll(v->text, &end, 10);
		return v->kind == NC_NUMBER && !*end && !errno;
	default: *(const nc_json **)at = v;
	}
	return f->kind == NC_ANY || v->kind == f->kind;
}

static nc_answer run(const nc_tool *t, const nc_context *c, const nc_json *args) {
	char *input = alloc(t->size);
	if (!args || args->kind != NC_OBJECT) return nc_fail("invalid arguments: want an object");
	for (const nc_field *f = t->fields; f->name; f++) {
		const nc_json *v = nc_get(args, f->name);
		bool absent = !v || (v->kind == NC_NULL && f->kind != NC_ANY);
		if (absent && f->required) return nc_fail("invalid arguments: %s is missing", f->name);
		if (!absent && !put(f, v, input)) return nc_fail("invalid arguments: %s: want %s", f->name, wanted(f->kind));
	}
	return t->call(c, input);
}

const char *nc_dispatch(const char *text, size_t len) {
	const nc_json *in = nc_parse(text, len), *call = nc_get(in, "call");
	nc_context c = {
		nc_string(nc_get(in, "tool")), nc_string(nc_get(call, "turn")), nc_string(nc_get(call, "agent")),
		nc_string(nc_get(call, "timezone")),
	};
	const nc_tool *t = nc_tools;
	while (t->name && strcmp(t->name, c.tool)) t++;
	nc_answer a = t->name ? run(t, &c, nc_get(in, "arguments")) : nc_fail("this skill has no tool %s", c.tool);
	nc_buf b = { 0 };
	nc_raw(&b, "{\"content\":[{\"type\":\"text\",\"text\":");
	nc_quote(&b, a.text);
	nc_raw(&b, "}]");
	if (a.structured) nc_raw(&b, ",\"structuredContent\":"), nc_raw(&b, a.structured);
	nc_raw(&b, a.is_error ? ",\"isError\":true}" : "}");
	return b.text;
}

#ifdef __wasm__
/* The module's entry: len is the length of the input. */
__attribute__((export_name("nanoclaw_call"))) int nanoclaw_call(uint32_t len) {
	char *in = alloc(len);
	const char *out = nc_dispatch(in, input_read(in, 0, len));
	output_write(out, (uint32_t)strlen(out));
	return 0;
}
#endif

/* ---- Capabilities ---- */

/* Reads the answer of a capability call: status in the high half, length in the low one. */
static nc_error result(uint64_t r, nc_json **out) {
	uint32_t len = (uint32_t)r;
	char *body = alloc((size_t)len + 1);
	nc_json *v = nc_parse(body, result_read(body, 0, len));
	nc_error e = { (nc_status)(r >> 32), "", false };
	if (e.status == NC_OK && !v) return (nc_error){ NC_INTERNAL, "the host's answer cannot be read", false };
	if (e.status != NC_OK) {
		const nc_json *retryable = nc_get(v, "retryable");
		e.message = nc_string(nc_get(v, "message"));
		e.retryable = retryable && retryable->boolean;
	}
	*out = v;
	return e;
}

static char *base64(const char *s, size_t *len) {
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	nc_buf b = { 0 };
	uint32_t n = 0;
	int bits = 0;
	append(&b, "", 0);
	for (const char *p; *s && (p = strchr(alphabet, *s)); s++) {
		n = n << 6 | (uint32_t)(p - alphabet);
		if ((bits += 6) >= 8) {
			char c = (char)(n >> (bits -= 8));
			append(&b, &c, 1);
		}
	}
	*len = b.len;
	return b.text;
}

nc_error nc_http(const nc_request *r, nc_response *out) {
	nc_buf b = { 0 };
	nc_json *v = NULL;
	nc_raw(&b, "{");
	nc_member(&b, "method", r->method ? r->method : "GET");
	nc_member(&b, "url", r->url);
	if (r->body) nc_member(&b, "body", r->body);
	if (r->headers) nc_raw(&b, ",\"headers\":"), nc_raw(&b, r->headers);
	nc_raw(&b, "}");
	nc_error e = result(http_call(b.text, (uint32_t)b.len), &v);
	if (e.status != NC_OK) return e;
	const nc_json *status = nc_get(v, "status"), *body = nc_get(v, "body"), *binary = nc_get(v, "body_base64");
	*out = (nc_response){ status ? atoi(status->text) : 0, nc_string(nc_get(v, "url")), nc_get(v, "headers"), nc_string(body), 0 };
	out->len = body ? body->len : 0;
	if (binary) out->body = base64(nc_string(binary), &out->len);
	return e;
}

static nc_error kv(const char *op, const char *key, const char *value, int limit, nc_json **answer) {
	nc_buf b = { 0 };
	nc_raw(&b, "{");
	nc_member(&b, "op", op);
	nc_member(&b, "key", key);
	if (value) nc_member(&b, "value", value);
	if (limit) nc_raw(&b, nc_format(",\"limit\":%d", limit));
	nc_raw(&b, "}");
	return result(kv_call(b.text, (uint32_t)b.len), answer);
}

nc_error nc_kv_get(const char *key, const char **text) {
	nc_json *v = NULL;
	nc_error e = kv("get", key, NULL, 0, &v);
	*text = nc_string(nc_get(v, "value"));
	return e;
}

nc_error nc_kv_put(const char *key, const char *text) {
	nc_json *v;
	return kv("put", key, text, 0, &v);
}

nc_error nc_kv_delete(const char *key) {
	nc_json *v;
	return kv("delete", key, NULL, 0, &v);
}

nc_error nc_kv_list(const char *prefix, int limit, const nc_json **keys) {
	nc_json *v = NULL;
	nc_error e = kv("list", prefix, NULL, limit, &v);
	*keys = nc_get(v, "keys");
	return e;
}

nc_error nc_llm(const char *request, nc_json **answer) {
	return result(llm_call(request, (uint32_t)strlen(request)), answer);
}

nc_error nc_ask(const char *system, const char *question, const char **text) {
	nc_buf b = { 0 };
	nc_json *v = NULL;
	nc_raw(&b, "{");
	nc_member(&b, "system", system);
	nc_raw(&b, ",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":");
	nc_quote(&b, question);
	nc_raw(&b, "}]}]}");
	nc_error e = nc_llm(b.text, &v);
	*text = nc_text_of(nc_get(v, "content"));
	return e;
}

const char *nc_text_of(const nc_json *blocks) {
	nc_buf b = { 0 };
	append(&b, "", 0);
	for (const nc_json *c = blocks ? blocks->child : NULL; c; c = c->next) {
		if (strcmp(nc_string(nc_get(c, "type")), "text")) continue;
		if (b.len) append(&b, "\n", 1);
		nc_raw(&b, nc_string(nc_get(c, "text")));
	}
	return b.text;
}

nc_error nc_call_tool(const char *name, const char *args, const nc_json **outcome) {
	nc_buf b = { 0 };
	nc_json *v = NULL;
	nc_raw(&b, "{");
	nc_member(&b, "name", name);
	nc_raw(&b, ",\"arguments\":");
	nc_raw(&b, args);
	nc_raw(&b, "}");
	nc_error e = result(tool_call(b.text, (uint32_t)b.len), &v);
	const nc_json *results = nc_get(v, "results");
	*outcome = results ? results->child : NULL;
	return e;
}

void nc_log(nc_level level, const char *text) { log_write(level, text, (uint32_t)strlen(text)); }
