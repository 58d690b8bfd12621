#pragma once
/* Encodes batches as OTLP ExportTraceServiceRequest. Written by hand because a span then costs a tenth of what
 * protobuf-c takes, which remains for everything that is rare: the resource, responses, and as the judge of this
 * encoder in tests/unit/test_otlp_pb.c. */
#include "exporter/exporter.h"

#define OA_OTLP_SCHEMA_URL "https://opentelemetry.io/schemas/1.44.0"
#define OA_OTLP_SCOPE      "otelauto"

/* More than one span can take. Texts are at most OA_SPAN_TEXT_MAX, each used in at most two attributes, each byte
 * at most tripled by U+FFFD (93 KiB); OA_ATTRS_MAX attributes with 66 bytes of key and framing (66 KiB); an array
 * value has at least 5 bytes of text and 8 of framing (25 KiB); url.full 18 KiB. */
#define OA_OTLP_SPAN_MAX (256u << 10)

/* Span.flags: sampled, random, and what is known of the parent. */
#define OA_OTLP_IS_REMOTE_KNOWN 0x100u
uint32_t oa_otlp_span_flags(const struct oa_span *s);

/* Encodes one span as the field `spans` of a ScopeSpans. out: OA_OTLP_SPAN_MAX bytes. returns the end */
uint8_t *oa_otlp_pb_span(uint8_t *out, const struct oa_span *s);

struct oa_otlp_buf {
	uint8_t *mem; /* grows; the owner's to free */
	size_t bytes;
};

/* Encodes a request.
 *
 * resource     an encoded Resource message
 * max_bytes    the request stays below; spans that do not fit are left out
 * ret_request  lies in buf, until the next call
 * returns      spans encoded, from the first on; -ENOMEM
 */
long oa_otlp_pb_request(struct oa_otlp_buf *buf, const struct oa_batch *batch, struct oa_bytes resource,
			size_t max_bytes, struct oa_bytes *ret_request);
