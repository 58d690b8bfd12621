/* Rate, errors, duration of HTTP exchanges, from all of them, sampled or not; and counts of what
 * the sampler, the context rules and the injector decided. */
#include "pipeline/red_metrics.h"

#include "core/config.h"
#include "core/inject_result.h"
#include "core/stats.h"
#include "core/tree.h"
#include "exporter/span_attrs.h"
#include "pipeline/processor.h"
#include "pipeline/red_cache.h"
#include "pipeline/sql.h"

#define RED_HOST_MAX 128 /* longest server.address in a label */

enum {
	EXEMPLARS_TRACE_BASED,
	EXEMPLARS_ALWAYS_ON,
	EXEMPLARS_ALWAYS_OFF
}; /* OTEL_METRICS_EXEMPLAR_FILTER */

static void red_add(struct oa_label_set *set, enum oa_label label, struct oa_bytes value)
{
	if (value.len)
		oa_label_add(set, label, value);
}

static void red_add_num(struct oa_label_set *set, enum oa_label label, unsigned num)
{
	char text[10];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + num % 10);
	while ((num /= 10));
	oa_label_add(set, label, oa_bytes(text + at, sizeof(text) - at));
}

static struct oa_bytes red_version(const struct oa_span *s)
{
	switch (s->version) {
	case 10:
		return OA_LIT("1.0");
	case 11:
		return OA_LIT("1.1");
	case 20:
		return OA_LIT("2");
	default:
		return (struct oa_bytes){ 0 };
	}
}

/* Host names are compared in lower case, and become labels only when they can be names. */
static struct oa_bytes red_host(struct oa_bytes host, uint8_t buf[RED_HOST_MAX])
{
	if (host.len > RED_HOST_MAX)
		return OA_LIT("_OTHER");
	for (size_t i = 0; i < host.len; i++) {
		uint8_t c = oa_lower(host.ptr[i]);

		if ((uint8_t)(c - 'a') >= 26 && (uint8_t)(c - '0') >= 10 &&
		    !(c && strchr("-._:%~", c)))
			return OA_LIT("_OTHER");
		buf[i] = c;
	}
	return oa_bytes(buf, host.len);
}

static void red_add_server(struct oa_label_set *set, const struct oa_span *s)
{
	char addr[OA_SERVER_TEXT_MAX];
	uint8_t name[RED_HOST_MAX];
	struct oa_bytes host;
	unsigned port;

	oa_span_server(s, addr, &host, &port);
	if (oa_span_str(s, OA_STR_HOST).len)
		host = red_host(host, name);
	red_add(set, OA_LABEL_address, host);
	if (port)
		red_add_num(set, OA_LABEL_port, port);
}

static void red_rpc_labels(const struct oa_span *s, struct oa_label_set *set)
{
	char none[8];

	red_add(set, OA_LABEL_rpc, OA_LIT("grpc"));
	red_add(set, OA_LABEL_rpc_method, oa_span_rpc_method(s));
	red_add(set, OA_LABEL_rpc_status, oa_span_rpc_status(s));
	if (s->kind == OA_KIND_CLIENT)
		red_add_server(set, s);
	red_add(set, OA_LABEL_error, oa_span_error_type(s, none));
}

/* Of a collection, or destination, that is among the first ones, or none. */
static void red_add_collection(struct oa_label_set *set, enum oa_label label, struct oa_bytes operation,
			       struct oa_bytes collection)
{
	uint8_t both[2 * OA_DB_NAME_MAX + 1];
	size_t len = operation.len + 1 + collection.len;

	if (!collection.len || len > sizeof(both))
		return;
	memcpy(both, operation.ptr, operation.len);
	both[operation.len] = ' ';
	memcpy(both + operation.len + 1, collection.ptr, collection.len);
	if (oa_sql_label(oa_bytes(both, len)).len == len)
		red_add(set, label, collection);
}

static void red_messaging_labels(const struct oa_span *s, const struct oa_db *db, const struct oa_db_texts *texts,
				 enum oa_messaging what, struct oa_label_set *set)
{
	struct oa_bytes name = oa_messaging_name(texts->operation);
	char number[12];

	red_add(set, OA_LABEL_messaging_system, oa_db_system(db));
	red_add(set, OA_LABEL_messaging_operation, name);
	red_add(set, OA_LABEL_messaging_type, oa_messaging_type(what));
	red_add_collection(set, OA_LABEL_messaging_destination, name, texts->target);
	red_add_server(set, s);
	red_add(set, OA_LABEL_error, oa_span_error_type(s, number));
}

static void red_db_labels(const struct oa_span *s, struct oa_label_set *set)
{
	struct oa_db_texts texts = { 0 };
	struct oa_db db = { 0 };
	enum oa_messaging what;
	struct oa_bytes known;
	char number[12];

	if (!oa_span_db(s, &db, &texts))
		return;
	what = oa_messaging_of(&db, texts.operation);
	if (what) {
		red_messaging_labels(s, &db, &texts, what, set);
		return;
	}
	known = oa_db_command(s, &db, texts.operation);
	red_add(set, OA_LABEL_db_system, oa_db_system(&db));
	red_add(set, OA_LABEL_db_namespace, oa_db_namespace(s, &db, number));
	if (db.system == OA_STORE_MONGODB)
		red_add_collection(set, OA_LABEL_db_collection, known, texts.target);
	red_add(set, OA_LABEL_db_operation, known.len || oa_db_is_sql(&db) ? known : OA_LIT("_OTHER"));
	red_add(set, OA_LABEL_db_summary, oa_sql_label(oa_span_str(s, OA_STR_DB_SUMMARY)));
	red_add(set, OA_LABEL_db_status, oa_db_status(&db, &texts, number));
	if (s->kind == OA_KIND_CLIENT)
		red_add_server(set, s);
	red_add(set, OA_LABEL_error, oa_span_error_type(s, number));
}

void oa_red_labels(const struct oa_span *s, struct oa_label_set *set)
{
	char status[8];

	set->len = 0;
	set->overflow = false;
	if (s->what == OA_WHAT_RPC) {
		red_rpc_labels(s, set);
		return;
	}
	if (s->what == OA_WHAT_DB) {
		red_db_labels(s, set);
		return;
	}
	red_add(set, OA_LABEL_method, oa_span_method(s));
	red_add(set, OA_LABEL_route, oa_span_str(s, OA_STR_ROUTE));
	if (s->flags & OA_SPAN_HAS_STATUS)
		red_add_num(set, OA_LABEL_status, s->status);
	if (s->kind == OA_KIND_SERVER)
		red_add(set, OA_LABEL_scheme, oa_span_scheme(s));
	red_add(set, OA_LABEL_version, red_version(s));
	if (s->kind == OA_KIND_CLIENT)
		red_add_server(set, s);
	red_add(set, OA_LABEL_error, oa_span_error_type(s, status));
}

/* The record on its way to its series. */
static struct {
	bool labelled;
	struct oa_label_set labels; /* when made */
	struct oa_series_place place[OA_METRIC_STREAMS_MAX];
	unsigned places;    /* none: nothing of it is recorded */
	unsigned exemplars; /* the first of them, which may have one */
} red;

static const enum oa_instrument red_instruments[OA_RED_COUNT][2] = {
	[OA_RED_DURATION] = { OA_INS_http_client_duration, OA_INS_http_server_duration },
	[OA_RED_REQ_BODY] = { OA_INS_http_client_req_body, OA_INS_http_server_req_body },
	[OA_RED_RESP_BODY] = { OA_INS_http_client_resp_body, OA_INS_http_server_resp_body },
};

static enum oa_messaging red_messaging(const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db db;

	return oa_span_db(s, &db, &texts) ? oa_messaging_of(&db, texts.operation) : OA_MESSAGING_NONE;
}

/* Messages that a command to a broker carried, or brought. */
static uint64_t red_messages(const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db db;

	return oa_span_db(s, &db, &texts) ? oa_messaging_count(&db, texts.operation) : 0;
}

static bool red_is_recorded(const struct oa_span *s)
{
	if (s->kind == OA_KIND_INTERNAL || !oa_tree)
		return false;
	return s->what == OA_WHAT_HTTP || s->what == OA_WHAT_RPC || s->what == OA_WHAT_DB;
}

static bool red_has(const struct oa_span *s, enum oa_red what)
{
	if (s->what == OA_WHAT_DB && what == OA_RED_MESSAGES)
		return red_messages(s);
	if (s->what == OA_WHAT_DB) /* what came by itself, or was made, took no time */
		return what == OA_RED_DURATION && red_messaging(s) != OA_MESSAGING_DELIVERY &&
		       red_messaging(s) != OA_MESSAGING_CREATE;
	if (s->what != OA_WHAT_HTTP)
		return what == OA_RED_DURATION;
	return what == OA_RED_DURATION || (what == OA_RED_REQ_BODY && s->flags & OA_SPAN_HAS_REQ_BODY) ||
	       (what == OA_RED_RESP_BODY && s->flags & OA_SPAN_HAS_RESP_BODY);
}

static enum oa_instrument red_instrument(const struct oa_span *s, enum oa_red what)
{
	bool server = s->kind == OA_KIND_SERVER;

	if (s->what == OA_WHAT_RPC)
		return server ? OA_INS_rpc_server_duration : OA_INS_rpc_client_duration;
	if (s->what == OA_WHAT_DB && what == OA_RED_MESSAGES)
		return red_messaging(s) == OA_MESSAGING_SEND ? OA_INS_messaging_sent : OA_INS_messaging_consumed;
	if (s->what == OA_WHAT_DB && red_messaging(s))
		return OA_INS_messaging_client_duration;
	if (s->what == OA_WHAT_DB)
		return server ? OA_INS_db_server_duration : OA_INS_db_client_duration;
	return red_instruments[what][server];
}

static struct oa_series *red_look_up(const struct oa_span *s, unsigned stream)
{
	if (oa_streams[stream].kind == OA_STREAM_DROPPED)
		return NULL;
	if (!red.labelled)
		oa_red_labels(s, &red.labels);
	red.labelled = true;
	return oa_series_get(&oa_tree->series, (unsigned)oa_config.series_limit, stream, &red.labels);
}

static void red_place(unsigned stream, struct oa_series *series, uint64_t value)
{
	if (oa_streams[stream].kind != OA_STREAM_DROPPED)
		red.place[red.places++] = oa_series_touch(&oa_tree->series, series, stream, value);
}

/* The first command of a connection: what it took to make it. */
static bool red_is_first(const struct oa_span *s)
{
	return s->what == OA_WHAT_DB && s->kind == OA_KIND_CLIENT && s->made_ns;
}

/* Stores that one logs in to have one database; of others it is a matter of each command. */
static void red_prepare_made(const struct oa_span *s)
{
	enum oa_instrument ins = OA_INS_db_client_create;
	struct oa_label_set labels = { 0 };
	char text[OA_DB_POOL_TEXT_MAX], number[12];
	struct oa_db_texts texts;
	struct oa_db db;
	bool sql = oa_span_db(s, &db, &texts) && oa_db_is_sql(&db);

	oa_label_add(&labels, OA_LABEL_db_pool,
		     oa_db_pool_name(text, &s->peer, oa_span_str(s, OA_STR_PEER_PATH),
				     sql ? oa_db_namespace(s, &db, number) : (struct oa_bytes){ 0 }));
	for (unsigned stream = ins; stream < oa_streams_count; stream = oa_stream_after(ins, stream))
		if (oa_streams[stream].kind != OA_STREAM_DROPPED)
			red_place(stream, oa_series_get(&oa_tree->series, (unsigned)oa_config.series_limit, stream, &labels),
				  s->made_ns);
}

static enum oa_stat red_decision(const struct oa_span *s)
{
	return s->keep ? OA_STAT_spans_kept : s->flags & OA_SPAN_SAMPLED ? OA_STAT_spans_sampled : OA_STAT_spans_unsampled;
}

static void red_inc(enum oa_stat s) { oa_stat_inc(s); }

static inline __attribute__((always_inline)) void red_count_by(const struct oa_span *s, void (*count)(enum oa_stat))
{
	if (!(s->flags & OA_SPAN_HELD)) /* else keep.c counts it when it knows */
		count(red_decision(s));
	count((enum oa_stat)(OA_STAT_parent_ROOT + s->evidence));
	if (s->inject != OA_INJECT_NONE)
		count((enum oa_stat)(OA_STAT_inject_DONE + s->inject - OA_INJECT_DONE));
}

static uint64_t red_value(const struct oa_span *s, enum oa_red what)
{
	if (s->what == OA_WHAT_DB && what == OA_RED_MESSAGES)
		return red_messages(s);
	return what == OA_RED_DURATION   ? s->duration_ns
	       : what == OA_RED_REQ_BODY ? s->req_body
					 : s->resp_body;
}

/* Streams that views added. */
static void red_prepare_more(const struct oa_span *s, struct oa_red_memory *memory, enum oa_instrument ins, uint64_t value)
{
	for (unsigned stream = oa_stream_after(ins, ins); stream < oa_streams_count; stream = oa_stream_after(ins, stream)) {
		struct oa_series **series = &memory->more[stream - OA_INS_COUNT];

		if (!*series)
			*series = red_look_up(s, stream);
		red_place(stream, *series, value);
	}
}

static void red_prepare_one(const struct oa_span *s, struct oa_red_memory *memory, enum oa_red what)
{
	struct oa_series **series = &memory->series[what];
	uint64_t value = red_value(s, what);

	if (!*series) {
		memory->instrument[what] = (uint8_t)red_instrument(s, what);
		*series = red_look_up(s, memory->instrument[what]);
	}
	red_place(memory->instrument[what], *series, value);
	if (__builtin_expect(oa_streams_count > OA_INS_COUNT, 0))
		red_prepare_more(s, memory, (enum oa_instrument)memory->instrument[what], value);
}

/* The place to remember in when the record's fields are too long. */
static struct oa_red_memory *red_forgotten(void)
{
	static struct oa_red_memory forgotten;
	static struct oa_series *more[OA_METRIC_STREAMS_MORE];

	memset(more, 0, sizeof(more));
	forgotten = (struct oa_red_memory){ .more = more };
	return &forgotten;
}

static void red_prepare(const struct oa_span *s)
{
	struct oa_red_memory *memory;

	red_count_by(s, oa_stat_touch);
	red.places = red.exemplars = 0;
	if (!red_is_recorded(s))
		return;
	red.labelled = false;
	memory = oa_red_remember(&oa_tree->series, s);
	if (!memory)
		memory = red_forgotten();
	for (unsigned what = 0; what < OA_RED_COUNT; what++)
		if (red_has(s, what))
			red_prepare_one(s, memory, what);
	red.exemplars = red.places;
	if (red_is_first(s))
		red_prepare_made(s);
}

static bool red_exemplar(const struct oa_span *s)
{
	return oa_config.exemplar_filter == EXEMPLARS_ALWAYS_ON ||
	       (oa_config.exemplar_filter == EXEMPLARS_TRACE_BASED && s->flags & OA_SPAN_SAMPLED &&
		!(s->flags & OA_SPAN_LOST)); /* nobody could follow it */
}

static int red_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	const struct oa_span *s = &span->s;
	const uint8_t *trace_id = red_exemplar(s) ? s->trace_id : NULL;

	red_count_by(s, red_inc);
	for (unsigned i = 0; i < red.places; i++)
		oa_series_add(&oa_tree->series, &red.place[i], i < red.exemplars ? trace_id : NULL, s->span_id,
			      s->start_unix_ns + s->duration_ns);
	return 0;
}

const struct oa_processor oa_processor_red_metrics = {
	.name = "red_metrics",
	.prepare = red_prepare,
	.on_span = red_on_span,
	.counts = true,
};
