#pragma once
/* One signal's way to a collector by OTLP: what OTEL_EXPORTER_OTLP_* say, with the settings of the signal before the
 * general ones, made into a place to post to. */
#include <stdbool.h>
#include <stdint.h>

#include "exporter/http_post.h"

#define OA_OTLP_REQUEST_MAX (64u << 20) /* OTLP: larger ones are not to be sent */
#define OA_OTLP_JSON_MAX    (16u << 20) /* what the arena has room for while the text grows */

/* As the choices of OTEL_EXPORTER_OTLP_PROTOCOL. */
enum oa_otlp_protocol { OA_OTLP_PROTOBUF, OA_OTLP_JSON, OA_OTLP_GRPC };

enum oa_otlp_signal { OA_OTLP_TRACES, OA_OTLP_METRICS };

struct oa_otlp_channel {
	enum oa_otlp_protocol protocol;
	bool gzip;
	const char *what; /* for messages */
	struct oa_endpoint to;
	struct oa_post_config post; /* points at to, and at texts that stay until the next call */
};

/* Says one clear line when a setting is bad. returns 0 or -errno */
int oa_otlp_channel(enum oa_otlp_signal signal, struct oa_otlp_channel *ret_channel);

/* Content-Type of a protocol as a header line. */
const char *oa_otlp_content_type(enum oa_otlp_protocol protocol);
