#include "pipeline/jaeger_remote.h"

#define OA_LOG_DOMAIN "sampling"
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/config.h"
#include "core/id.h"
#include "core/log.h"
#include "exporter/endpoint.h"
#include "exporter/exporter.h"
#include "exporter/http_post.h"
#include "pipeline/jaeger_strategy.h"
#include "pipeline/sampling.h"
#include "sampler/arg.h"
#include "sampler/rules.h"
#include "sampler/sampler.h"

#define REMOTE_TIMEOUT_MS 5000
#define REMOTE_GRPC_PATH  "jaeger.api_v2.SamplingManager/GetSamplingStrategy"
#define REMOTE_SERVICE_MAX 255

static struct {
	struct oa_post *post; /* NULL: not opened, or off */
	struct oa_endpoint to;
	uint64_t poll_ns;
	bool grpc, asking;
	uint8_t body[2 + 2 + REMOTE_SERVICE_MAX]; /* SamplingStrategyParameters { service_name = 1 } */
	size_t body_len;
	uint64_t asked, answered; /* of this process: only its first trouble is said */
} remote;

static struct oa_bytes remote_service(void)
{
	size_t count;
	const struct oa_attr *attrs = oa_resource_attrs(&count);

	for (size_t i = 0; i < count; i++)
		if (!attrs[i].is_num && !strcmp(attrs[i].key, "service.name"))
			return oa_bytes_cut(oa_bytes_str(attrs[i].str), REMOTE_SERVICE_MAX);
	return OA_LIT("unknown_service");
}

/* -- where to -- */

static void remote_put(struct oa_buf *out, struct oa_bytes text) { (void)oa_buf_put(out, text); }

static void remote_put_escaped(struct oa_buf *out, struct oa_bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		char hex[3] = { '%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15] };

		if ((uint8_t)(oa_lower(c) - 'a') < 26 || (uint8_t)(c - '0') < 10 || (c && strchr("-._~", c)))
			remote_put(out, oa_bytes(&c, 1));
		else
			remote_put(out, oa_bytes(hex, 3));
	}
}

/* Behind scheme and authority. */
static struct oa_bytes remote_path_of(struct oa_bytes url)
{
	const char *text = (const char *)url.ptr, *at = memmem(text, url.len, "://", 3);
	const char *from = at ? at + 3 : text, *slash = memchr(from, '/', url.len - (size_t)(from - text));

	return slash ? oa_bytes(slash, url.len - (size_t)(slash - text)) : (struct oa_bytes){ 0 };
}

static bool remote_ends_in(struct oa_bytes text, const char *end)
{
	size_t len = strlen(end);

	return text.len >= len && !memcmp(text.ptr + text.len - len, end, len);
}

/* Jaeger's ports for gRPC: 14250 of version 1, 5779 of version 2. */
static bool remote_is_grpc(struct oa_bytes authority)
{
	return remote_ends_in(authority, ":14250") || remote_ends_in(authority, ":5779");
}

/* Takes `grpc` off grpc://… and grpcs://…, which mean gRPC on any port. */
static bool remote_take_grpc(struct oa_bytes *setting)
{
	static const char scheme[] = "grpc";
	size_t len = sizeof(scheme) - 1;

	if (setting->len <= len || !oa_bytes_ieq(oa_bytes_cut(*setting, len), oa_bytes_str(scheme)) ||
	    !memchr("s:", setting->ptr[len], 2))
		return false;
	*setting = oa_bytes(setting->ptr + len, setting->len - len);
	return true;
}

static const char *remote_endpoint(struct oa_bytes setting)
{
	char url[OA_URL_MAX];
	struct oa_buf out = oa_buf(url, sizeof(url) - 1);
	struct oa_bytes path;

	remote.grpc = remote_take_grpc(&setting);
	if (remote.grpc)
		remote_put(&out, OA_LIT("http"));
	else if (!memmem(setting.ptr, setting.len, "://", 3))
		remote_put(&out, OA_LIT("http://"));
	remote_put(&out, setting);
	path = remote_path_of(oa_buf_bytes(&out));
	remote.grpc |= remote_is_grpc(oa_bytes(out.ptr, out.len - path.len)) && path.len <= 1;
	if (!remote.grpc) {
		if (path.len <= 1)
			remote_put(&out, path.len ? OA_LIT("sampling") : OA_LIT("/sampling"));
		remote_put(&out, path.len && memchr(path.ptr, '?', path.len) ? OA_LIT("&service=") : OA_LIT("?service="));
		remote_put_escaped(&out, remote_service());
	}
	if (out.full)
		return "is too long";
	url[out.len] = '\0';
	return oa_endpoint_parse(&remote.to, url, remote.grpc, REMOTE_GRPC_PATH);
}

static void remote_make_body(void)
{
	struct oa_bytes service = remote_service();
	struct oa_buf out = oa_buf(remote.body, sizeof(remote.body));
	uint8_t head[3] = { 0x0a, (uint8_t)(service.len & 0x7f), 1 };

	if (service.len > 127)
		head[1] |= 0x80;
	remote_put(&out, oa_bytes(head, service.len > 127 ? 3 : 2));
	remote_put(&out, service);
	remote.body_len = remote.grpc ? out.len : 0;
}

/* -- before the first answer -- */

static void remote_begin(double ratio)
{
	static struct oa_jaeger_strategy initial;

	initial.probability = ratio;
	if (!atomic_load(&oa_sampling()->rules_id))
		(void)oa_jaeger_publish(&initial, 1);
}

void oa_jaeger_remote_open(void)
{
	static const char *const headers[] = { "Accept: application/json", NULL };
	static const char *const grpc_headers[] = { "Content-Type: application/grpc", "TE: trailers", NULL };
	struct oa_sampler_settings s;
	const char *wrong;

	if (oa_samplers[oa_config.sampler]->arg != OA_ARG_REMOTE)
		return;
	oa_sampler_settings(&s);
	remote_begin(s.ratio);
	remote.poll_ns = s.poll_ms * 1000000;
	wrong = remote_endpoint(s.endpoint);
	if (wrong) {
		oa_warn("OTEL_TRACES_SAMPLER_ARG: endpoint %s; nobody is asked", wrong);
		return;
	}
	remote_make_body();
	if (oa_post_open(&(struct oa_post_config){ .what = "remote sampling", .to = &remote.to, .grpc = remote.grpc,
						   .once = true, .get = !remote.grpc, .aside = true,
						   .timeout_ms = REMOTE_TIMEOUT_MS, .user_agent = OA_USER_AGENT,
						   .headers = remote.grpc ? grpc_headers : headers },
			 &remote.post))
		remote.post = NULL;
}

/* -- asking -- */

static void remote_trouble(const char *why, unsigned status)
{
	oa_info("%s: %s, status %u; what was in force stays", remote.to.shown, why, status);
	if (!remote.answered && remote.asked == 1)
		oa_warn("remote sampling: %s: %s; asking again every %u s", remote.to.shown, why,
			(unsigned)(remote.poll_ns / 1000000000));
}

static void remote_on_answer(void *arg, const struct oa_post_result *r)
{
	static struct oa_jaeger_strategy strategy;
	uint64_t id = oa_hash(0, r->body.ptr, r->body.len) | 1;
	const char *wrong;

	(void)arg;
	remote.asking = false;
	if (r->end != OA_POST_OK) {
		remote_trouble(r->why, r->status);
		return;
	}
	if (id == atomic_load(&oa_sampling()->rules_id))
		return;
	wrong = remote.grpc ? oa_jaeger_parse_grpc(r->body, &strategy) : oa_jaeger_parse_json(r->body, &strategy);
	if (wrong) {
		remote_trouble(wrong, r->status);
		return;
	}
	remote.answered++;
	if (oa_jaeger_publish(&strategy, id))
		oa_info("sampling strategy from %s: %u operations, %u left out", remote.to.shown, strategy.count,
			strategy.skipped);
}

/* Not all programs of a fleet at the same moment. */
static uint64_t remote_period(void)
{
	return remote.poll_ns - remote.poll_ns / 10 + oa_id_random() % (remote.poll_ns / 5 + 1);
}

void oa_jaeger_remote_tick(uint64_t now_ns)
{
	struct oa_bytes body = oa_bytes(remote.body, remote.body_len);

	if (!remote.post || remote.asking || !oa_sampling_turn(&oa_sampling()->rules_ns, now_ns, remote_period()))
		return;
	remote.asking = true;
	remote.asked++;
	oa_post_send(remote.post, body, false, UINT64_MAX, remote_on_answer, NULL);
}

void oa_jaeger_remote_forget(void) { memset(&remote, 0, sizeof(remote)); }
