#pragma once
/* Metric series of a process tree, in shared memory: an open-addressed table keyed by stream and
 * packed labels. Writers are the side threads of all processes of the tree; readers render a scrape.
 * All words are atomic, a claimed entry is published by its state; no locks. Counters only grow. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/limits.h"

enum oa_instrument {
#define OA_INSTRUMENT(id, name, unit, bounds, help) OA_INS_##id,
#include "core/instruments.def"
#undef OA_INSTRUMENT
	OA_INS_COUNT,
};

#define OA_BOUNDS_MAX    32 /* of a view; our own have 14 */
#define OA_EXEMPLARS_MAX 16 /* buckets that are so many apart share one */
#define OA_METRIC_STREAMS_MAX   32

enum oa_stream_kind {
	OA_STREAM_HISTOGRAM,
	OA_STREAM_EXPONENTIAL, /* where it is pushed; a histogram elsewhere */
	OA_STREAM_SUM,         /* a counter */
	OA_STREAM_DROPPED,
};

/* What becomes of the measurements of an instrument. Each has the stream of its own number; views (core/views.h) change
 * these, and add further ones behind them. Settled before the tree is mapped, and never changed after. */
struct oa_stream {
	const char *name;  /* "http.server.request.duration" */
	const char *unit;  /* "s", "By" */
	const char *help;
	const double *bounds;   /* upper bounds, in the unit */
	const uint64_t *limits; /* the same as recorded: nanoseconds or bytes */
	uint32_t bounds_count;
	uint8_t kind;            /* enum oa_stream_kind */
	bool kind_is_asked_for;  /* by a view: the settings do not change it */
	uint8_t source;          /* enum oa_instrument */
	uint8_t exp_coarser;     /* how much its scale is below OA_EXP_SCALE at least */
	uint16_t exp_size;       /* most buckets that are pushed of an exponential histogram; 0: as many as SDKs do */
	uint32_t labels_dropped; /* bits by enum oa_label */
	uint32_t series_max;     /* the overflow series included; 0: no limit of its own */
} __attribute__((aligned(64)));
extern struct oa_stream oa_streams[OA_METRIC_STREAMS_MAX];
extern unsigned oa_streams_count;

/* The next stream with the same source; oa_streams_count or more: there is none. */
static inline unsigned oa_stream_after(enum oa_instrument ins, unsigned stream)
{
	stream = stream < OA_INS_COUNT ? OA_INS_COUNT : stream + 1;
	while (stream < oa_streams_count && oa_streams[stream].source != ins)
		stream++;
	return stream;
}

struct oa_exemplar {
	_Atomic uint32_t seq;   /* odd while written; a reader that sees it change skips the exemplar */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint32_t bucket;
	uint64_t value;         /* as recorded: nanoseconds or bytes */
	uint64_t unix_ns;
};

struct oa_series {
	_Atomic uint32_t state; /* 0 free, 1 being claimed, 2 ready, 3 given up: its writer was killed */
	uint16_t stream;
	uint16_t labels_len;
	uint64_t hash;
	_Atomic uint64_t bucket[OA_BOUNDS_MAX + 1]; /* not cumulative */
	_Atomic uint64_t sum;                       /* nanoseconds or bytes; of a counter its value */
	struct oa_exemplar exemplar[OA_EXEMPLARS_MAX];
	uint8_t labels[OA_LABELS_BYTES];            /* repeated { u8 enum oa_label, u8 0, u16 length, text } */
};

enum oa_label {
#define OA_LABEL(id, name, prom) OA_LABEL_##id,
#include "core/labels.def"
#undef OA_LABEL
	OA_LABEL_COUNT,
};

struct oa_label_info {
	char name[40], prom[40]; /* "http.request.method", "http_request_method"; no pointers to relocate */
};
extern const struct oa_label_info oa_labels[OA_LABEL_COUNT];

/* A label set under construction; appending in a fixed order makes equal sets equal bytes. */
struct oa_label_set {
	uint16_t len;
	bool overflow; /* did not fit: the caller uses the overflow series */
	uint8_t bytes[OA_LABELS_BYTES];
};
void oa_label_add(struct oa_label_set *set, enum oa_label label, struct oa_bytes value);
/* Those without the labels whose bits are set. */
void oa_label_drop(struct oa_label_set *ret_fewer, const struct oa_label_set *all, uint32_t dropped);
/* Walks a packed set: *pos starts at 0; returns false at the end. */
bool oa_label_next(const uint8_t *labels, unsigned len, unsigned *pos, enum oa_label *ret_label,
		   struct oa_bytes *ret_value);

struct oa_series_table {
	_Atomic uint32_t used;
	_Atomic uint32_t used_by[OA_METRIC_STREAMS_MAX]; /* of those that have a limit of their own */
	_Atomic uint64_t overflowed; /* measurements that went to an overflow series */
	struct oa_series entry[4096]; /* open addressing over twice OA_SERIES_MAX; the last OA_METRIC_STREAMS_MAX are
				       * the overflow series of each stream */
};

/* Adds one measurement to all streams of the instrument. Past the limit it goes to the stream's overflow series (one label,
 * otel.metric.overflow="true"), which always exists.
 *
 * limit     OTELAUTO_SERIES_LIMIT
 * value     nanoseconds for unit s, bytes for unit By; counters: how many more
 * exemplar  trace and span id, or NULL
 * runs on   side thread; locks: none; heap: no; blocks: no
 */
void oa_series_record(struct oa_series_table *t, unsigned limit, enum oa_instrument ins,
		      const struct oa_label_set *labels, uint64_t value, const uint8_t *trace_id,
		      const uint8_t *span_id, uint64_t unix_ns);

/* The two halves of it, of one stream that is not dropped, for callers that remember the series of labels they meet often. */
/* labels    whole: what the stream does not have of them is left out here
 * returns   the series, made if need be, for good: it never changes nor goes; NULL past the limit */
struct oa_series *oa_series_get(struct oa_series_table *t, unsigned limit, unsigned stream,
				const struct oa_label_set *labels);
/* Where a measurement is counted. */
struct oa_series_place {
	struct oa_series *series; /* NULL: the overflow series of the stream */
	unsigned stream;
	unsigned bucket;
	uint64_t value;
};

/* Finds the bucket, and has the kernel map what oa_series_add() will write to: then that takes no page fault, in which a
 * process may be killed. s: of this stream; NULL: its overflow series */
struct oa_series_place oa_series_touch(struct oa_series_table *t, struct oa_series *s, unsigned stream, uint64_t value);

void oa_series_add(struct oa_series_table *t, const struct oa_series_place *place, const uint8_t *trace_id, const uint8_t *span_id,
		   uint64_t unix_ns);

/* Walks the series with at least one measurement: *pos starts at 0; NULL at the end. What an entry stands for
 * never changes, so readers may keep what they made of it by its index in t->entry. */
const struct oa_series *oa_series_next(const struct oa_series_table *t, unsigned *pos);

unsigned oa_series_stream(const struct oa_series_table *t, const struct oa_series *s);
struct oa_bytes oa_series_labels(const struct oa_series_table *t, const struct oa_series *s);

/* Copies the exemplar of one bucket. returns false when there is none, or one is being written */
bool oa_series_exemplar(const struct oa_series *s, unsigned bucket, struct oa_exemplar *ret_exemplar);
