/* Histograms and counters of the tree's streams. The text of a series' labels is made once and kept by the index of its
 * entry; per scrape there is little more than one memcpy and one number a line. */
#include "exporter/prom_text.h"

#include <stdlib.h>

#include "core/id.h"
#include "core/prom_name.h"
#include "core/tree.h"

#define PROM_SERIES_MAX (sizeof(((struct oa_series_table *)0)->entry) / sizeof(struct oa_series))

struct prom_stream {
	char name[OA_PROM_NAME_MAX]; /* http_server_request_duration_seconds */
	unsigned name_len;
	const char *unit; /* of the name's end; NULL: none */
	unsigned scale; /* of what is recorded: nanoseconds are 10^-9 of the unit */
	struct {
		char text[2][32]; /* ,le="0.005"}␣ in both formats */
		uint8_t len[2];
	} le[OA_BOUNDS_MAX + 1];
};

/* Text `len` bytes long: {otel_scope_name="…",…,http_route="/" without the closing brace. */
struct prom_labels {
	uint32_t len;
	char text[];
};

static struct prom_stream prom_streams[OA_METRIC_STREAMS_MAX];
static bool prom_named;
static struct prom_labels *prom_labels[PROM_SERIES_MAX];
static bool prom_seen[2][OA_METHOD_COUNT][2];

bool oa_prom_seen(enum oa_kind kind, enum oa_method method, bool https)
{
	return prom_seen[kind == OA_KIND_CLIENT][method][https];
}

void oa_prom_note_seen(enum oa_kind kind, enum oa_method method, bool https)
{
	prom_seen[kind == OA_KIND_CLIENT][method][https] = true;
}

void oa_prom_series_forget(void)
{
	memset(prom_labels, 0, sizeof(prom_labels));
	memset(prom_seen, 0, sizeof(prom_seen));
}

static void prom_name_le(struct prom_stream *pi, unsigned i, const struct oa_stream *info)
{
	for (unsigned om = 0; om < 2; om++) {
		char *to = pi->le[i].text[om], *start = to;

		memcpy(to, ",le=\"", 5);
		to += 5;
		if (i == info->bounds_count) {
			memcpy(to, "+Inf", 4);
			to += 4;
		} else {
			to = oa_prom_bound(to, info->limits[i], pi->scale, om);
		}
		memcpy(to, "\"} ", 3);
		pi->le[i].len[om] = (uint8_t)(to + 3 - start);
	}
}

static void prom_name(struct prom_stream *pi, const struct oa_stream *info)
{
	pi->unit = oa_prom_unit(info->unit);
	pi->scale = strcmp(info->unit, "s") == 0 ? 9 : 0;
	pi->name_len = (unsigned)oa_prom_name(pi->name, info->name, info->unit);
	for (unsigned i = 0; i <= info->bounds_count; i++)
		prom_name_le(pi, i, info);
}

/* Which gauges of open exchanges belong to the series. */
static void prom_note_labels(unsigned stream, struct oa_bytes method, struct oa_bytes scheme)
{
	unsigned client = oa_streams[stream].source == OA_INS_http_client_duration;

	if (oa_streams[stream].source != OA_INS_http_server_duration && !client)
		return;
	for (unsigned m = 0; m < OA_METHOD_COUNT; m++)
		if (oa_bytes_eq(method, oa_bytes_str(oa_method_name(m))))
			prom_seen[client][m][oa_bytes_eq(scheme, OA_LIT("https"))] = true;
}

static struct prom_labels *prom_make_labels(unsigned stream, struct oa_bytes packed)
{
	struct prom_labels *made;
	static char buf[4096]; /* more than OA_LABELS_BYTES can come to, names and escapes included */
	struct oa_prom_out text = { .mem = buf, .cap = sizeof(buf) };
	struct oa_bytes value, method = { 0 }, scheme = { 0 };
	enum oa_label label;
	unsigned pos = 0;

	oa_prom_lit(&text, "{" OA_PROM_SCOPE);
	while (oa_label_next(packed.ptr, (unsigned)packed.len, &pos, &label, &value)) {
		oa_prom_lit(&text, ",");
		oa_prom_str(&text, oa_labels[label].prom);
		oa_prom_lit(&text, "=\"");
		oa_prom_label_value(&text, value);
		oa_prom_lit(&text, "\"");
		if (label == OA_LABEL_method)
			method = value;
		if (label == OA_LABEL_scheme)
			scheme = value;
	}
	prom_note_labels(stream, method, scheme);
	made = malloc(sizeof(*made) + text.len);
	if (!made)
		return NULL;
	made->len = (uint32_t)text.len;
	memcpy(made->text, buf, text.len);
	return made;
}

static const struct prom_labels *prom_get_labels(const struct oa_series *s)
{
	struct prom_labels **slot = &prom_labels[s - oa_tree->series.entry];

	if (!*slot)
		*slot = prom_make_labels(oa_series_stream(&oa_tree->series, s),
					 oa_series_labels(&oa_tree->series, s));
	return *slot;
}

static char *prom_copy(char *to, const void *from, size_t len)
{
	memcpy(to, from, len);
	return to + len;
}

#define PROM_COPY_LIT(to, s) prom_copy((to), (s), sizeof(s) - 1)

/* ` # {trace_id="…",span_id="…"} 0.0123 1700000000.123` */
#define PROM_EXEMPLAR_MAX 192
static char *prom_exemplar(char *to, const struct oa_series *s, unsigned bucket, unsigned scale)
{
	struct oa_exemplar e;

	if (!oa_series_exemplar(s, bucket, &e))
		return to;
	to = PROM_COPY_LIT(to, " # {trace_id=\"");
	oa_hex(to, e.trace_id, sizeof(e.trace_id));
	to = PROM_COPY_LIT(to + 32, "\",span_id=\"");
	oa_hex(to, e.span_id, sizeof(e.span_id));
	to = PROM_COPY_LIT(to + 16, "\"} ");
	to = oa_prom_fixed(to, e.value, scale);
	if (e.unix_ns) {
		*to++ = ' ';
		to = oa_prom_fixed(to, e.unix_ns / 1000000, 3);
	}
	return to;
}

/* The bucket counts are read once; the count is their sum, so they agree at any time. */
static void prom_histogram(struct oa_prom_out *o, const struct oa_series *s,
			   const struct prom_stream *pi, unsigned bounds_count)
{
	const struct prom_labels *labels = prom_get_labels(s);
	size_t line = pi->name_len + 8 + (labels ? labels->len : 0) + 32 + OA_PROM_NUM_MAX +
		      PROM_EXEMPLAR_MAX;
	char *to = labels ? oa_prom_room(o, line * (bounds_count + 3)) : NULL;
	uint64_t count = 0;

	if (!to) {
		o->failed = true;
		return;
	}
	for (unsigned i = 0; i <= bounds_count; i++) {
		count += atomic_load_explicit(&s->bucket[i], memory_order_relaxed);
		to = prom_copy(to, pi->name, pi->name_len);
		to = PROM_COPY_LIT(to, "_bucket");
		to = prom_copy(to, labels->text, labels->len);
		to = prom_copy(to, pi->le[i].text[o->openmetrics], pi->le[i].len[o->openmetrics]);
		to = oa_prom_uint(to, count);
		if (o->openmetrics)
			to = prom_exemplar(to, s, i, pi->scale);
		*to++ = '\n';
	}
	to = prom_copy(to, pi->name, pi->name_len);
	to = PROM_COPY_LIT(to, "_sum");
	to = prom_copy(to, labels->text, labels->len);
	to = PROM_COPY_LIT(to, "} ");
	to = oa_prom_fixed(to, atomic_load_explicit(&s->sum, memory_order_relaxed), pi->scale);
	*to++ = '\n';
	to = prom_copy(to, pi->name, pi->name_len);
	to = PROM_COPY_LIT(to, "_count");
	to = prom_copy(to, labels->text, labels->len);
	to = PROM_COPY_LIT(to, "} ");
	to = oa_prom_uint(to, count);
	*to++ = '\n';
	o->len = (size_t)(to - o->mem);
}

static void prom_counter(struct oa_prom_out *o, const struct oa_series *s, const struct prom_stream *pi)
{
	const struct prom_labels *labels = prom_get_labels(s);
	char *to = labels ? oa_prom_room(o, pi->name_len + 16 + labels->len + OA_PROM_NUM_MAX) : NULL;

	if (!to) {
		o->failed = true;
		return;
	}
	to = prom_copy(to, pi->name, pi->name_len);
	to = PROM_COPY_LIT(to, "_total");
	to = prom_copy(to, labels->text, labels->len);
	to = PROM_COPY_LIT(to, "} ");
	to = oa_prom_fixed(to, atomic_load_explicit(&s->sum, memory_order_relaxed), pi->scale);
	*to++ = '\n';
	o->len = (size_t)(to - o->mem);
}

void oa_prom_series_look(void)
{
	const struct oa_series *s;
	unsigned pos = 0;

	while (oa_tree && (s = oa_series_next(&oa_tree->series, &pos)))
		(void)prom_get_labels(s);
}

static void prom_family(struct oa_prom_out *o, unsigned stream)
{
	const struct prom_stream *pi = &prom_streams[stream];

	oa_prom_family(o, pi->name, oa_streams[stream].kind == OA_STREAM_SUM ? OA_PROM_COUNTER : OA_PROM_HISTOGRAM, pi->unit,
		       oa_streams[stream].help);
}

static void prom_one(struct oa_prom_out *o, unsigned stream, const struct oa_series *s)
{
	if (oa_streams[stream].kind == OA_STREAM_SUM)
		prom_counter(o, s, &prom_streams[stream]);
	else
		prom_histogram(o, s, &prom_streams[stream], oa_streams[stream].bounds_count);
}

/* Families must not be interleaved: one pass over the list of series for each stream. */
void oa_prom_series(struct oa_prom_out *o)
{
	static const struct oa_series *found[PROM_SERIES_MAX];
	const struct oa_series *s;
	unsigned count = 0, pos = 0;

	if (!oa_tree)
		return;
	for (unsigned i = 0; !prom_named && i < oa_streams_count; i++)
		prom_name(&prom_streams[i], &oa_streams[i]);
	prom_named = true;
	while ((s = oa_series_next(&oa_tree->series, &pos)))
		found[count++] = s;
	for (unsigned stream = 0; stream < oa_streams_count; stream++) {
		bool head = false;

		for (unsigned i = 0; i < count; i++) {
			if (oa_series_stream(&oa_tree->series, found[i]) != stream)
				continue;
			if (!head)
				prom_family(o, stream);
			head = true;
			prom_one(o, stream, found[i]);
		}
	}
}
