#pragma once
/* Which series the measurements of a record go to, remembered by the raw fields that its labels are
 * made of: making the labels and finding their series costs several times what counting does. Side
 * thread only. */
#include "core/series.h"
#include "core/span.h"

/* What one exchange can measure. */
enum oa_red {
	OA_RED_DURATION,
	OA_RED_REQ_BODY,
	OA_RED_RESP_BODY,
	OA_RED_COUNT,
	OA_RED_MESSAGES = OA_RED_REQ_BODY, /* of a broker: how many were sent, or came */
};

struct oa_red_memory {
	struct oa_series *series[OA_RED_COUNT]; /* NULL: not known */
	struct oa_series **more;                /* of the streams behind OA_INS_COUNT */
	uint8_t instrument[OA_RED_COUNT];       /* of those that are */
};

#define OA_METRIC_STREAMS_MORE (OA_METRIC_STREAMS_MAX - OA_INS_COUNT)

/* The place for the record's series; filled in by the caller. NULL when its fields are too long to
 * remember. */
struct oa_red_memory *oa_red_remember(const struct oa_series_table *t, const struct oa_span *s);
