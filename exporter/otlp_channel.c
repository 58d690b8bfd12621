#define OA_LOG_DOMAIN "otlp"
#include "exporter/otlp_channel.h"

#include <errno.h>

#include "core/config.h"
#include "core/log.h"
#include "exporter/header_list.h"

#define CHANNEL_HEADERS_MAX     64
#define CHANNEL_HEADER_TEXT_MAX 16384
#define CHANNEL_TARGET_MAX      (OA_URL_MAX + 8)

/* What a signal has of its own; empty or negative: the general setting counts. */
struct channel_settings {
	const char *name; /* in OTEL_EXPORTER_OTLP_<name>_… */
	const char *what;
	const char *path, *grpc_path;
	const char *endpoint, *headers, *certificate, *client_key, *client_certificate;
	int protocol, compression;
	int64_t timeout;
	bool insecure;
};

static struct channel_settings channel_settings(enum oa_otlp_signal signal)
{
	if (signal == OA_OTLP_METRICS)
		return (struct channel_settings){
			"METRICS", "OTLP metrics", "v1/metrics",
			"opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
			oa_config.otlp_metrics_endpoint, oa_config.otlp_metrics_headers, oa_config.otlp_metrics_certificate,
			oa_config.otlp_metrics_client_key, oa_config.otlp_metrics_client_certificate,
			oa_config.otlp_metrics_protocol, oa_config.otlp_metrics_compression,
			oa_config.otlp_metrics_timeout, oa_config.otlp_metrics_insecure,
		};
	return (struct channel_settings){
		"TRACES", "OTLP traces", "v1/traces", "opentelemetry.proto.collector.trace.v1.TraceService/Export",
		oa_config.otlp_traces_endpoint, oa_config.otlp_traces_headers, oa_config.otlp_traces_certificate,
		oa_config.otlp_traces_client_key, oa_config.otlp_traces_client_certificate, oa_config.otlp_traces_protocol,
		oa_config.otlp_traces_compression, oa_config.otlp_traces_timeout, oa_config.otlp_traces_insecure,
	};
}

static bool channel_is_set(const char *text) { return text && *text; }

static const char *channel_either(const char *own, const char *general)
{
	return channel_is_set(own) ? own : general;
}

/* gRPC's targets may come without scheme; whether that is TLS is a setting of its own. */
static const char *channel_with_scheme(const char *endpoint, bool insecure, char text[CHANNEL_TARGET_MAX])
{
	const char *scheme = insecure ? "http://" : "https://";
	size_t len = strlen(endpoint), before = strlen(scheme);

	if (strstr(endpoint, "://") || !strncmp(endpoint, "unix:", 5) || before + len >= CHANNEL_TARGET_MAX)
		return endpoint;
	memcpy(text, scheme, before);
	memcpy(text + before, endpoint, len + 1);
	return text;
}

static int channel_endpoint(const struct channel_settings *s, struct oa_otlp_channel *c)
{
	bool own = channel_is_set(s->endpoint), grpc = c->protocol == OA_OTLP_GRPC;
	const char *endpoint = own ? s->endpoint : oa_config.otlp_endpoint, *wrong;
	char text[CHANNEL_TARGET_MAX];

	if (!channel_is_set(endpoint))
		endpoint = grpc ? "http://localhost:4317" : "http://localhost:4318";
	if (grpc)
		endpoint = channel_with_scheme(endpoint, s->insecure || oa_config.otlp_insecure, text);
	wrong = oa_endpoint_parse(&c->to, endpoint, grpc ? OA_PATH_FIXED : own ? OA_PATH_AS_IS : OA_PATH_BASE,
				  grpc ? s->grpc_path : s->path);
	if (!wrong)
		return 0;
	oa_warn("OTEL_EXPORTER_OTLP_%s%sENDPOINT %s: no %s are sent", own ? s->name : "", own ? "_" : "", wrong,
		s->what + sizeof("OTLP"));
	return -EINVAL;
}

/* Never prints what it reads: values are secrets. */
static const char *const *channel_headers(const struct channel_settings *s, enum oa_otlp_protocol protocol)
{
	static const char *lines[CHANNEL_HEADERS_MAX]; /* copied by oa_post_open */
	static char text[CHANNEL_HEADER_TEXT_MAX], line[OA_HEADER_LINE_MAX];
	bool own = channel_is_set(s->headers);
	const char *pos = own ? s->headers : oa_config.otlp_headers;
	unsigned count = 0, skipped = 0;
	size_t used = 0;
	int got;

	lines[count++] = oa_otlp_content_type(protocol);
	while (pos && (got = oa_header_list_next(&pos, line)) != 0) {
		size_t len = got > 0 ? strlen(line) + 1 : 0;

		if (!len || count == CHANNEL_HEADERS_MAX - 1 || len > CHANNEL_HEADER_TEXT_MAX - used) {
			skipped++;
			continue;
		}
		memcpy(text + used, line, len);
		lines[count++] = text + used;
		used += len;
	}
	lines[count] = NULL;
	if (skipped)
		oa_warn("OTEL_EXPORTER_OTLP_%s%sHEADERS: %u members are malformed or not ours to set, and skipped",
			own ? s->name : "", own ? "_" : "", skipped);
	return lines;
}

const char *oa_otlp_content_type(enum oa_otlp_protocol protocol)
{
	static const char *const lines[] = {
		[OA_OTLP_PROTOBUF] = "Content-Type: application/x-protobuf",
		[OA_OTLP_JSON] = "Content-Type: application/json",
		[OA_OTLP_GRPC] = "Content-Type: application/grpc",
	};

	return lines[protocol];
}

int oa_otlp_channel(enum oa_otlp_signal signal, struct oa_otlp_channel *c)
{
	struct channel_settings s = channel_settings(signal);
	int err;

	c->what = s.what;
	c->protocol = (enum oa_otlp_protocol)(s.protocol >= 0 ? s.protocol : oa_config.otlp_protocol);
	c->gzip = (s.compression >= 0 ? s.compression : oa_config.otlp_compression) == 1;
	err = channel_endpoint(&s, c);
	if (err)
		return err;
	c->post = (struct oa_post_config){
		.what = s.what, .to = &c->to, .grpc = c->protocol == OA_OTLP_GRPC,
		.headers = channel_headers(&s, c->protocol), .user_agent = OA_OTLP_USER_AGENT,
		.ca_file = channel_either(s.certificate, oa_config.otlp_certificate),
		.cert_file = channel_either(s.client_certificate, oa_config.otlp_client_certificate),
		.key_file = channel_either(s.client_key, oa_config.otlp_client_key),
		.timeout_ms = (uint64_t)(s.timeout >= 0 ? s.timeout : oa_config.otlp_timeout),
	};
	return 0;
}
