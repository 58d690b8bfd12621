#pragma once
/* Metric series of a process tree, in shared memory: an open-addressed table keyed by instrument and
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

#define OA_BOUNDS_MAX 14

struct oa_instrument_info {
	const char *name;  /* "http.server.request.duration" */
	const char *unit;  /* "s", "By" */
	const char *help;
	const double *bounds;   /* OA_BOUNDS_MAX upper bounds, in the unit */
	const uint64_t *limits; /* the same as recorded: nanoseconds or bytes */
	unsigned bounds_count;  /* 0: a counter, whose value is the series' sum */
};
extern const struct oa_instrument_info oa_instruments[OA_INS_COUNT];

struct oa_exemplar {
	_Atomic uint32_t seq;   /* odd while written; a reader that sees it change skips the exemplar */
	uint8_t trace_id[16];
	uint8_t span_id[8];
	uint64_t value;         /* as recorded: nanoseconds or bytes */
	uint64_t unix_ns;
};

struct oa_series {
	_Atomic uint32_t state; /* 0 free, 1 being claimed, 2 ready, 3 given up: its writer was killed */
	uint16_t instrument;
	uint16_t labels_len;
	uint64_t hash;
	_Atomic uint64_t bucket[OA_BOUNDS_MAX + 1]; /* not cumulative */
	_Atomic uint64_t sum;                       /* nanoseconds or bytes; of a counter its value */
	struct oa_exemplar exemplar[OA_BOUNDS_MAX + 1];
	uint8_t labels[OA_LABELS_BYTES];            /* repeated { u8 enum oa_label, u8 0, u16 length, text } */
};

enum oa_label {
#define OA_LABEL(id, name, prom) OA_LABEL_##id,
#include "core/labels.def"
#undef OA_LABEL
	OA_LABEL_COUNT,
};

struct oa_label_info {
	const char *name; /* "http.request.method" */
	const char *prom; /* "http_request_method" */
};
extern const struct oa_label_info oa_labels[OA_LABEL_COUNT];

/* A label set under construction; appending in a fixed order makes equal sets equal bytes. */
struct oa_label_set {
	uint16_t len;
	bool overflow; /* did not fit: the caller uses the overflow series */
	uint8_t bytes[OA_LABELS_BYTES];
};
void oa_label_add(struct oa_label_set *set, enum oa_label label, struct oa_bytes value);
/* Walks a packed set: *pos starts at 0; returns false at the end. */
bool oa_label_next(const uint8_t *labels, unsigned len, unsigned *pos, enum oa_label *ret_label,
		   struct oa_bytes *ret_value);

struct oa_series_table {
	_Atomic uint32_t used;
	_Atomic uint64_t overflowed; /* measurements that went to an overflow series */
	struct oa_series entry[4096]; /* open addressing over twice OA_SERIES_MAX; the last OA_INS_COUNT are
				       * the overflow series of each instrument */
};

/* Adds one measurement. Past the limit the measurement goes to the instrument's overflow series (one label,
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

/* The two halves of it, for callers that remember the series of labels they meet often. */
/* returns   the series, made if need be, for good: it never changes nor goes; NULL past the limit */
struct oa_series *oa_series_get(struct oa_series_table *t, unsigned limit, enum oa_instrument ins,
				const struct oa_label_set *labels);
/* Where a measurement is counted. */
struct oa_series_place {
	struct oa_series *series; /* NULL: the overflow series of the instrument */
	enum oa_instrument ins;
	unsigned bucket;
	uint64_t value;
};

/* Finds the bucket, and has the kernel map what oa_series_add() will write to: then that takes no page fault, in which a
 * process may be killed. s: of this instrument; NULL: its overflow series */
struct oa_series_place oa_series_touch(struct oa_series_table *t, struct oa_series *s, enum oa_instrument ins, uint64_t value);

void oa_series_add(struct oa_series_table *t, const struct oa_series_place *place, const uint8_t *trace_id, const uint8_t *span_id,
		   uint64_t unix_ns);

/* Walks the series with at least one measurement: *pos starts at 0; NULL at the end. What an entry stands for
 * never changes, so readers may keep what they made of it by its index in t->entry. */
const struct oa_series *oa_series_next(const struct oa_series_table *t, unsigned *pos);

enum oa_instrument oa_series_instrument(const struct oa_series_table *t, const struct oa_series *s);
struct oa_bytes oa_series_labels(const struct oa_series_table *t, const struct oa_series *s);

/* Copies the exemplar of one bucket. returns false when there is none, or one is being written */
bool oa_series_exemplar(const struct oa_series *s, unsigned bucket, struct oa_exemplar *ret_exemplar);
