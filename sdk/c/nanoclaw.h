/*
 * The guest API for skills written in C: this header and nanoclaw.c. README.md is the tour.
 *
 * Every call has an instance of its own, which is thrown away: nothing is ever freed.
 * Text is UTF-8 and ends with a NUL.
 */
#ifndef NANOCLAW_H
#define NANOCLAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The agent's files: use them with stdio. It takes the capability fs. */
#define NC_WORKSPACE "/workspace"

/* ---- JSON ---- */

typedef enum { NC_NULL, NC_BOOL, NC_NUMBER, NC_STRING, NC_ARRAY, NC_OBJECT, NC_INTEGER, NC_ANY } nc_kind;

typedef struct nc_json {
	nc_kind kind; /* NC_NULL to NC_OBJECT */
	bool boolean;
	const char *text; /* of a string; the digits of a number */
	size_t len;       /* of text, which may hold a NUL of its own */
	const char *name; /* of a member of an object */
	struct nc_json *child, *next;
} nc_json;

/* Reads one value; NULL when it is not JSON. */
nc_json *nc_parse(const char *text, size_t len);

/* The member of an object, or NULL; v may be NULL. */
const nc_json *nc_get(const nc_json *v, const char *name);

/* The text of a string, or "" for whatever else. */
const char *nc_string(const nc_json *v);

/* A text that grows. Begin with {0}. */
typedef struct {
	char *text;
	size_t len, cap;
} nc_buf;

void nc_raw(nc_buf *b, const char *json);                     /* as it stands */
void nc_quote(nc_buf *b, const char *text);                   /* as a JSON string */
void nc_quote_len(nc_buf *b, const char *text, size_t len);   /* likewise */
void nc_write(nc_buf *b, const nc_json *v);                   /* a value */
void nc_member(nc_buf *b, const char *name, const char *text); /* "name":"text", after a comma unless it is the first */

/* A new text, as printf would print it. */
char *nc_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Errors ---- */

typedef enum {
	NC_OK, NC_DENIED, NC_INVALID, NC_NOT_FOUND, NC_TIMEOUT, NC_CANCELLED, NC_TOO_LARGE, NC_RATE_LIMITED,
	NC_UNAVAILABLE, NC_INTERNAL
} nc_status;

/* The answer of a capability call that was not made or did not succeed. */
typedef struct {
	nc_status status;
	const char *message; /* one sentence, safe to show */
	bool retryable;      /* the same call may succeed later */
} nc_error;

/* ---- Tools ---- */

/* Says for whom a tool is called. */
typedef struct {
	const char *tool;     /* its name in skill.toml */
	const char *turn;     /* identity of the turn: the same when the turn is run again */
	const char *agent;    /* identity of the agent */
	const char *timezone; /* of the user, an IANA name such as "Europe/Berlin" */
} nc_context;

/* One member of a tool's input and where it goes. */
typedef struct {
	const char *name;
	nc_kind kind;
	size_t at;
	bool required;
} nc_field;

/*
 * The C types of kinds: NC_STRING const char *, NC_BOOL bool, NC_NUMBER double,
 * NC_INTEGER int64_t, NC_ANY (also NC_ARRAY, NC_OBJECT) const nc_json *.
 * What is optional and not given stays zero.
 */
#define NC_REQUIRED(type, member, kind) { #member, kind, offsetof(type, member), true }
#define NC_OPTIONAL(type, member, kind) { #member, kind, offsetof(type, member), false }
#define NC_INPUT(type, ...) static const nc_field type##_fields[] = { __VA_ARGS__, { 0 } }

/* What a tool answers. */
typedef struct {
	const char *text;
	const char *structured; /* a JSON object, or NULL */
	bool is_error;
} nc_answer;

nc_answer nc_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
nc_answer nc_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
nc_answer nc_failed(nc_error e);          /* "denied: the sentence" */
nc_answer nc_object(const char *json);    /* an object, as text and as structured content */

typedef struct {
	const char *name;
	nc_answer (*call)(const nc_context *, const void *input);
	size_t size;
	const nc_field *fields; /* of input; arguments that do not fit are answered for call */
} nc_tool;

extern const nc_tool nc_tools[];

/* The tools of a skill: NC_TOOLS(NC_TOOL("forecast", forecast, forecast_in)); */
#define NC_TOOL(name, call, type) { name, call, sizeof(type), type##_fields }
#define NC_TOOLS(...) const nc_tool nc_tools[] = { __VA_ARGS__, { 0 } }

/* Answers one call, both as JSON: what the module's export runs, for tests of a skill. */
const char *nc_dispatch(const char *input, size_t len);

/* ---- Capabilities: each takes that of its name in skill.toml ---- */

typedef struct {
	const char *method; /* NULL = GET */
	const char *url;
	const char *headers; /* a JSON object of texts, or NULL */
	const char *body;    /* UTF-8, or NULL */
} nc_request;

typedef struct {
	int status;
	const char *url; /* after redirects */
	const nc_json *headers;
	const char *body; /* also ends with a NUL */
	size_t len;
} nc_response;

/* Sends one request. The host refuses what the role does not grant, and adds credentials by
 * itself. An answer such as 404 is a response, not an error. */
nc_error nc_http(const nc_request *r, nc_response *out);

/* Keys and values of the agent for this skill; they outlive turns. */
nc_error nc_kv_get(const char *key, const char **value); /* NC_NOT_FOUND when it is not there */
nc_error nc_kv_put(const char *key, const char *value);
nc_error nc_kv_delete(const char *key);
nc_error nc_kv_list(const char *prefix, int limit, const nc_json **keys);

/* Asks the model: request and answer in the Messages shape of ABI.md. */
nc_error nc_llm(const char *request, nc_json **answer);
/* Asks it one thing and gives the text of its answer. */
nc_error nc_ask(const char *system, const char *question, const char **text);
/* Joins the text blocks of an array. */
const char *nc_text_of(const nc_json *blocks);

/* Calls another tool of the agent by its public name; args is a JSON object. */
nc_error nc_call_tool(const char *name, const char *args, const nc_json **outcome);

/* ---- Log: for the owner, never for a model ---- */

typedef enum { NC_DEBUG, NC_INFO, NC_WARN, NC_ERROR } nc_level;
void nc_log(nc_level level, const char *text);

#endif
