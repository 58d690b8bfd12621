#include "exporter/span_attrs.h"

#include "core/config.h"
#include "core/sampling.h"
#include "core/tls_names.h"
#include "exporter/addr_text.h"
#include "exporter/grpc.h"
#include "exporter/utf8.h"

#define ATTRS_FULL_MAX 6144  /* url.full: target, host and what is put around them */
#define ATTRS_VALUES_MAX 64  /* values of one repeated header */

#define OA_KEY(id, text) [OA_KEY_##id] = { 0x0a, sizeof(text) - 1, text },
const struct oa_attr_key oa_keys[OA_KEY_COUNT] = {
#include "exporter/semconv.def"
};
#undef OA_KEY

/* A walk over one span. */
struct attrs {
	const struct oa_span *s;
	const struct oa_attr_sink *sink;
	void *ctx;
	size_t limit; /* characters */
	unsigned count, count_max, dropped;
	bool groups;         /* the sink remembers them, and values are not cut */
	unsigned group_from; /* where one began that the sink does not know */
};

#define ATTRS_GROUP_MAX 3 /* attributes of one */

static inline struct oa_attr_group attrs_group(enum oa_attr_groups sort, uint32_t a, uint32_t b, struct oa_bytes text)
{
	return (struct oa_attr_group){ sort, (uint64_t)a << 32 | b, text };
}

/* returns false when its attributes have to be made; attrs_keep() follows then. */
static bool attrs_recall(struct attrs *a, const struct oa_attr_group *g)
{
	unsigned count;

	a->groups &= a->count + ATTRS_GROUP_MAX <= a->count_max; /* from there on some are dropped */
	count = a->groups ? a->sink->recall(a->ctx, g) : 0;
	a->group_from = a->count;
	a->count += count;
	return count;
}

static void attrs_keep(struct attrs *a, const struct oa_attr_group *g)
{
	if (a->groups && a->count > a->group_from)
		a->sink->keep(a->ctx, g, a->count - a->group_from);
}

static bool attrs_room(struct attrs *a)
{
	if (a->count < a->count_max) {
		a->count++;
		return true;
	}
	a->dropped++;
	return false;
}

static void attrs_str(struct attrs *a, enum oa_key key, struct oa_bytes value)
{
	if (!value.len || !attrs_room(a))
		return;
	a->sink->str(a->ctx, &oa_keys[key], oa_utf8_cut(value, a->limit));
}

static void attrs_text(struct attrs *a, enum oa_key key, enum oa_str text)
{
	attrs_str(a, key, oa_span_str(a->s, text));
}

static void attrs_num(struct attrs *a, enum oa_key key, uint64_t value)
{
	if (!attrs_room(a))
		return;
	a->sink->num(a->ctx, &oa_keys[key], value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* -- error.type -- */

static struct oa_bytes attrs_status_text(unsigned status, char buf[8])
{
	return oa_bytes(buf, (size_t)(oa_decimal(buf, status) - buf));
}

/* 4xx is the client's failure: an error of its span, none of the server's. */
static bool attrs_status_failed(const struct oa_span *s)
{
	if (!(s->flags & OA_SPAN_HAS_STATUS))
		return false;
	if (s->status < 100 || s->status >= 500)
		return true;
	return s->status >= 400 && s->kind == OA_KIND_CLIENT;
}

/* -- gRPC -- */

/* A call that ended without a status has the one that a gRPC library would make of it: for a server whose client has gone
 * it is cancelled. */
static unsigned attrs_rpc_status(const struct oa_span *s)
{
	if (s->flags & OA_SPAN_HAS_STATUS)
		return s->status;
	return s->kind == OA_KIND_SERVER || s->error == OA_ERR_ABANDONED || s->error == OA_ERR_STREAM_CANCELLED ?
		       OA_GRPC_CANCELLED :
		       OA_GRPC_UNAVAILABLE;
}

struct oa_bytes oa_span_rpc_status(const struct oa_span *s)
{
	return oa_bytes_str(oa_grpc_name((int)attrs_rpc_status(s)));
}

struct oa_bytes oa_span_rpc_method(const struct oa_span *s)
{
	struct oa_bytes path = oa_span_str(s, OA_STR_PATH);

	/* Whatever a client may think of. */
	if (s->kind == OA_KIND_SERVER && attrs_rpc_status(s) == OA_GRPC_UNIMPLEMENTED)
		return OA_LIT("_OTHER");
	return path.len && path.ptr[0] == '/' ? oa_bytes(path.ptr + 1, path.len - 1) : path;
}

/* Many codes are the client's failure, or no failure: of a server's span UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
 * UNAVAILABLE and DATA_LOSS are errors. */
static struct oa_bytes attrs_rpc_error(const struct oa_span *s)
{
	const unsigned server_failed = 1u << 2 | 1u << 4 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15;
	unsigned status = attrs_rpc_status(s);

	if (s->kind == OA_KIND_SERVER ? server_failed >> status & 1 : status != 0)
		return oa_span_rpc_status(s);
	return (struct oa_bytes){ 0 };
}

/* Any answer that says so is an error, of either side. */
static struct oa_bytes attrs_db_error(const struct oa_span *s, char buf[8])
{
	struct oa_db_texts texts;
	struct oa_db db;

	if (!oa_span_db(s, &db, &texts))
		return (struct oa_bytes){ 0 };
	return oa_db_status(&db, &texts, buf);
}

uint8_t oa_span_kind(const struct oa_span *s)
{
	struct oa_db_texts texts;
	struct oa_db db;

	if (s->what == OA_WHAT_DB && s->kind == OA_KIND_CLIENT && oa_span_db(s, &db, &texts) &&
	    (oa_messaging_of(&db, texts.operation) == OA_MESSAGING_SEND ||
	     oa_messaging_of(&db, texts.operation) == OA_MESSAGING_CREATE))
		return OA_KIND_PRODUCER;
	return s->kind;
}

struct oa_bytes oa_span_error_type(const struct oa_span *s, char buf[8])
{
	if (s->what == OA_WHAT_RPC)
		return attrs_rpc_error(s);
	if (s->error != OA_ERR_NONE)
		return oa_bytes_str(oa_error_name((enum oa_error)s->error));
	if (s->what == OA_WHAT_DB)
		return attrs_db_error(s, buf);
	if (attrs_status_failed(s))
		return attrs_status_text(s->status, buf);
	return (struct oa_bytes){ 0 };
}

/* -- who was asked -- */

struct oa_bytes oa_span_scheme(const struct oa_span *s)
{
	struct oa_bytes proto = oa_span_str(s, OA_STR_FWD_PROTO), target = oa_span_str(s, OA_STR_TARGET);
	bool tls = s->flags & OA_SPAN_HTTPS;

	if (oa_bytes_ieq(proto, OA_LIT("https")))
		tls = true;
	else if (oa_bytes_ieq(proto, OA_LIT("http")))
		tls = false;
	else if (s->kind == OA_KIND_CLIENT && oa_bytes_ieq(oa_bytes_cut(target, 8), OA_LIT("https://")))
		tls = true;
	else if (s->kind == OA_KIND_CLIENT && oa_bytes_ieq(oa_bytes_cut(target, 7), OA_LIT("http://")))
		tls = false; /* asked of a proxy, whatever is spoken with that */
	return tls ? OA_LIT("https") : OA_LIT("http");
}

static struct oa_bytes attrs_peer(const struct oa_span *s, char buf[OA_ADDR_TEXT_MAX])
{
	if (s->flags & OA_SPAN_UNIX)
		return oa_span_str(s, OA_STR_PEER_PATH);
	return oa_bytes(buf, oa_addr_text(buf, &s->peer));
}

void oa_span_server(const struct oa_span *s, char buf[OA_SERVER_TEXT_MAX], struct oa_bytes *ret_host, unsigned *ret_port)
{
	struct oa_bytes asked = oa_span_str(s, OA_STR_FWD_HOST);

	if (s->kind != OA_KIND_SERVER || !asked.len)
		asked = oa_span_str(s, OA_STR_HOST);
	oa_authority_split(asked, ret_host, ret_port);
	if (ret_host->len && !*ret_port && s->what != OA_WHAT_CONNECT)
		*ret_port = oa_span_scheme(s).len == 5 ? 443 : 80;
	if (s->kind == OA_KIND_SERVER)
		return;
	if (!ret_host->len) {
		*ret_host = attrs_peer(s, buf);
		*ret_port = s->peer.port;
	} else if (!*ret_port) {
		*ret_port = s->peer.port;
	}
}

/* Whether the server follows from OA_STR_HOST alone. */
static bool attrs_server_is_host(const struct oa_span *s)
{
	return s->what == OA_WHAT_HTTP && s->str[OA_STR_HOST].len && !s->str[OA_STR_FWD_HOST].len && !s->str[OA_STR_FWD_PROTO].len &&
	       !s->str[OA_STR_TARGET].len;
}

/* returns whether the host is a part of `said` */
static bool attrs_make_server(struct attrs *a, struct oa_bytes said)
{
	char buf[OA_SERVER_TEXT_MAX];
	struct oa_bytes host;
	unsigned port;

	oa_span_server(a->s, buf, &host, &port);
	if (!host.len)
		return false;
	attrs_str(a, OA_KEY_SERVER_ADDRESS, host);
	if (port)
		attrs_num(a, OA_KEY_SERVER_PORT, port);
	return host.ptr >= said.ptr && host.ptr < said.ptr + said.len;
}

static void attrs_server(struct attrs *a)
{
	struct oa_bytes host = oa_span_str(a->s, OA_STR_HOST);
	struct oa_attr_group g = attrs_group(OA_ATTRS_SERVER, a->s->kind, a->s->flags & OA_SPAN_HTTPS, host);

	if (!attrs_server_is_host(a->s))
		(void)attrs_make_server(a, host);
	else if (!attrs_recall(a, &g) && attrs_make_server(a, host))
		attrs_keep(a, &g);
}

/* An address as one attribute. */
static void attrs_address(struct attrs *a, enum oa_attr_groups sort, enum oa_key key, const struct oa_addr *addr)
{
	struct oa_attr_group g = attrs_group(sort, addr->family, 0, oa_bytes(addr->ip, sizeof(addr->ip)));
	char buf[OA_ADDR_TEXT_MAX];

	if (attrs_recall(a, &g))
		return;
	attrs_str(a, key, oa_bytes(buf, oa_addr_text(buf, addr)));
	attrs_keep(a, &g);
}

/* Whom a proxy named by a header of the request, or of the connection; else the other end of the socket. */
static void attrs_client(struct attrs *a)
{
	const struct oa_addr *addr = &a->s->peer;
	struct oa_bytes client = { 0 };
	struct oa_addr proxied;
	unsigned port;

	if (a->s->str[OA_STR_FWD_FOR].len)
		oa_authority_split(oa_span_str(a->s, OA_STR_FWD_FOR), &client, &port);
	if (a->s->str[OA_STR_PROXIED].len == sizeof(proxied)) {
		memcpy(&proxied, oa_span_str(a->s, OA_STR_PROXIED).ptr, sizeof(proxied));
		addr = &proxied;
	}
	if (client.len)
		attrs_str(a, OA_KEY_CLIENT_ADDRESS, client);
	else
		attrs_address(a, OA_ATTRS_CLIENT, OA_KEY_CLIENT_ADDRESS, addr);
}

static void attrs_peer_and_client(struct attrs *a)
{
	const struct oa_span *s = a->s;

	if (s->flags & OA_SPAN_UNIX) {
		if (s->kind != OA_KIND_SERVER)
			attrs_text(a, OA_KEY_PEER_ADDRESS, OA_STR_PEER_PATH);
		attrs_str(a, OA_KEY_TRANSPORT, OA_LIT("unix"));
	} else if (s->peer.family == 4 || s->peer.family == 6) {
		attrs_address(a, OA_ATTRS_PEER, OA_KEY_PEER_ADDRESS, &s->peer);
		if (s->peer.port)
			attrs_num(a, OA_KEY_PEER_PORT, s->peer.port);
	}
	if (s->kind == OA_KIND_SERVER)
		attrs_client(a);
}

/* -- url.full -- */

struct attrs_url {
	char text[ATTRS_FULL_MAX];
	size_t len;
};

static void attrs_url_put(struct attrs_url *u, struct oa_bytes part)
{
	part = oa_bytes_cut(part, sizeof(u->text) - u->len);
	memcpy(u->text + u->len, part.ptr, part.len);
	u->len += part.len;
}

/* The socket's other end, for a request that does not say whom it asks (HTTP/1.0). Nothing when that is unknown too:
 * the conventions want a URL in any case. */
static void attrs_url_put_peer(struct attrs_url *u, const struct oa_span *s)
{
	char buf[OA_ADDR_TEXT_MAX], *end = buf;
	size_t len = oa_addr_text(buf, &s->peer);

	if (s->flags & OA_SPAN_UNIX)
		attrs_url_put(u, OA_LIT("localhost"));
	if (!len)
		return;
	if (s->peer.family == 6)
		attrs_url_put(u, OA_LIT("["));
	attrs_url_put(u, oa_bytes(buf, len));
	if (s->peer.family == 6)
		attrs_url_put(u, OA_LIT("]"));
	*end++ = ':';
	end = oa_decimal(end, s->peer.port);
	attrs_url_put(u, oa_bytes(buf, (size_t)(end - buf)));
}

static void attrs_full(struct attrs *a)
{
	struct oa_bytes target = oa_span_str(a->s, OA_STR_TARGET), host = oa_span_str(a->s, OA_STR_HOST);
	struct oa_bytes path = oa_span_str(a->s, OA_STR_PATH), query = oa_span_str(a->s, OA_STR_QUERY);
	static struct attrs_url u; /* side thread only */

	if (target.len) {
		attrs_str(a, OA_KEY_FULL, target);
		return;
	}
	u.len = 0;
	attrs_url_put(&u, oa_span_scheme(a->s));
	attrs_url_put(&u, OA_LIT("://"));
	if (!host.len) /* FastCGI: what is asked for, of whoever stands at the other end */
		host = oa_span_str(a->s, OA_STR_FWD_HOST);
	if (host.len)
		attrs_url_put(&u, host);
	else
		attrs_url_put_peer(&u, a->s);
	if (path.len && path.ptr[0] == '/') /* not the "*" of OPTIONS */
		attrs_url_put(&u, path);
	if (query.len) {
		attrs_url_put(&u, OA_LIT("?"));
		attrs_url_put(&u, query);
	}
	attrs_str(a, OA_KEY_FULL, oa_bytes(u.text, u.len));
}

/* -- captured headers -- */

struct attrs_header {
	uint8_t direction;
	struct oa_bytes name, value;
};

/* Takes the next header off `rest`. returns false at the end */
static bool attrs_header_next(struct oa_bytes *rest, struct attrs_header *ret_header)
{
	uint16_t value_len;
	size_t len;

	if (rest->len < 4)
		return false;
	memcpy(&value_len, rest->ptr + 2, 2);
	len = 4u + rest->ptr[1] + value_len;
	if (len > rest->len)
		return false;
	ret_header->direction = rest->ptr[0];
	ret_header->name = oa_bytes(rest->ptr + 4, rest->ptr[1]);
	ret_header->value = oa_bytes(rest->ptr + 4 + rest->ptr[1], value_len);
	*rest = oa_bytes(rest->ptr + len, rest->len - len);
	return true;
}

static bool attrs_header_same(const struct attrs_header *a, const struct attrs_header *b)
{
	return a->direction == b->direction && oa_bytes_eq(a->name, b->name);
}

static bool attrs_header_seen(struct oa_bytes all, const struct attrs_header *h)
{
	struct attrs_header earlier;

	while (attrs_header_next(&all, &earlier) && earlier.name.ptr != h->name.ptr)
		if (attrs_header_same(&earlier, h))
			return true;
	return false;
}

/* The values of one header that came several times are one array, in their order. */
static void attrs_header(struct attrs *a, const struct attrs_header *first, struct oa_bytes rest)
{
	struct oa_bytes values[ATTRS_VALUES_MAX];
	struct attrs_header next;
	unsigned count = 0;

	values[count++] = oa_utf8_cut(first->value, a->limit);
	while (count < ATTRS_VALUES_MAX && attrs_header_next(&rest, &next))
		if (attrs_header_same(first, &next))
			values[count++] = oa_utf8_cut(next.value, a->limit);
	a->sink->strs(a->ctx, &oa_keys[first->direction ? OA_KEY_RESP_HEADER : OA_KEY_REQ_HEADER], first->name,
		      values, count);
}

static void attrs_headers(struct attrs *a)
{
	struct oa_bytes all = oa_span_str(a->s, OA_STR_HEADERS), rest = all;
	struct attrs_header h;

	while (attrs_header_next(&rest, &h))
		if (!attrs_header_seen(all, &h) && attrs_room(a))
			attrs_header(a, &h, rest);
}

/* -- the sorts of exchanges -- */

static void attrs_version(struct attrs *a)
{
	if (a->s->version == 11)
		attrs_str(a, OA_KEY_PROTO_VERSION, OA_LIT("1.1"));
	else if (a->s->version == 10)
		attrs_str(a, OA_KEY_PROTO_VERSION, OA_LIT("1.0"));
	else if (a->s->version == 20)
		attrs_str(a, OA_KEY_PROTO_VERSION, OA_LIT("2"));
}

static void attrs_make_method(struct attrs *a)
{
	struct oa_bytes method = oa_span_method(a->s);

	attrs_str(a, OA_KEY_METHOD, method);
	if (oa_method_is_other(method))
		attrs_str(a, OA_KEY_METHOD_ORIGINAL, oa_span_method_sent(a->s));
	if (a->s->kind == OA_KIND_SERVER)
		attrs_str(a, OA_KEY_SCHEME, oa_span_scheme(a->s));
}

/* And the scheme. */
static void attrs_method(struct attrs *a)
{
	const struct oa_span *s = a->s;
	struct oa_attr_group g = attrs_group(OA_ATTRS_METHOD, s->method, s->kind | (s->flags & OA_SPAN_HTTPS) << 8,
					     oa_span_str(s, OA_STR_FWD_PROTO));
	bool known = oa_config.known_methods && *oa_config.known_methods; /* then the record does not say it all */

	if (s->method == OA_METHOD_OTHER || known) {
		attrs_make_method(a);
		return;
	}
	if (attrs_recall(a, &g))
		return;
	attrs_make_method(a);
	attrs_keep(a, &g);
}

static void attrs_version_and_status(struct attrs *a)
{
	const struct oa_span *s = a->s;
	bool has_status = s->flags & OA_SPAN_HAS_STATUS;
	struct oa_attr_group g = attrs_group(OA_ATTRS_STATUS, s->version, has_status ? 1u << 16 | s->status : 0, oa_bytes(NULL, 0));

	if (attrs_recall(a, &g))
		return;
	attrs_version(a);
	if (has_status)
		attrs_num(a, OA_KEY_STATUS, s->status);
	attrs_keep(a, &g);
}

static void attrs_http(struct attrs *a)
{
	const struct oa_span *s = a->s;

	attrs_method(a);
	if (s->kind == OA_KIND_SERVER) {
		attrs_text(a, OA_KEY_PATH, OA_STR_PATH);
		attrs_text(a, OA_KEY_QUERY, OA_STR_QUERY);
		attrs_text(a, OA_KEY_ROUTE, OA_STR_ROUTE);
		attrs_text(a, OA_KEY_USER_AGENT, OA_STR_USER_AGENT);
	} else {
		attrs_full(a);
		if (s->resend)
			attrs_num(a, OA_KEY_RESEND, s->resend);
	}
	attrs_version_and_status(a);
	if (s->flags & OA_SPAN_HAS_REQ_BODY)
		attrs_num(a, OA_KEY_REQ_BODY, s->req_body);
	if (s->flags & OA_SPAN_HAS_RESP_BODY)
		attrs_num(a, OA_KEY_RESP_BODY, s->resp_body);
}

/* Of a message, its length is no part. */
static uint64_t attrs_rpc_bytes(uint64_t body, uint32_t messages)
{
	return body > 5ull * messages ? body - 5ull * messages : 0;
}

static void attrs_rpc(struct attrs *a)
{
	const struct oa_span *s = a->s;
	struct oa_bytes method = oa_span_rpc_method(s), kept = oa_span_str(s, OA_STR_RPC);
	struct oa_rpc rpc = { 0 };

	attrs_str(a, OA_KEY_RPC_SYSTEM, OA_LIT("grpc"));
	attrs_str(a, OA_KEY_RPC_METHOD, method);
	if (oa_method_is_other(method))
		attrs_str(a, OA_KEY_RPC_METHOD_ORIGINAL, oa_bytes(oa_span_str(s, OA_STR_PATH).ptr + 1,
								  oa_span_str(s, OA_STR_PATH).len - 1));
	attrs_str(a, OA_KEY_RPC_STATUS, oa_span_rpc_status(s));
	attrs_version(a);
	if (kept.len < sizeof(rpc))
		return;
	memcpy(&rpc, kept.ptr, sizeof(rpc));
	if (rpc.timeout_ns)
		attrs_num(a, OA_KEY_RPC_TIMEOUT, rpc.timeout_ns / 1000000);
	if (rpc.unseen)
		return;
	attrs_num(a, OA_KEY_RPC_REQ_MSGS, rpc.messages[0]);
	attrs_num(a, OA_KEY_RPC_RESP_MSGS, rpc.messages[1]);
	attrs_num(a, OA_KEY_RPC_REQ_BYTES, attrs_rpc_bytes(s->req_body, rpc.messages[0]));
	attrs_num(a, OA_KEY_RPC_RESP_BYTES, attrs_rpc_bytes(s->resp_body, rpc.messages[1]));
}

static void attrs_messaging(struct attrs *a, const struct oa_db *db, const struct oa_db_texts *texts, enum oa_messaging what)
{
	char number[12];

	attrs_str(a, OA_KEY_MSG_SYSTEM, oa_db_system(db));
	attrs_str(a, OA_KEY_MSG_OPERATION, oa_messaging_name(texts->operation));
	attrs_str(a, OA_KEY_MSG_TYPE, oa_messaging_type(what));
	attrs_str(a, OA_KEY_MSG_DESTINATION, texts->target);
	if (db->system != OA_STORE_KAFKA)
		return;
	if (db->flags & OA_DB_HAS_NS)
		attrs_str(a, OA_KEY_MSG_PARTITION, oa_db_namespace(a->s, db, number));
	if (oa_messaging_count(db, texts->operation))
		attrs_num(a, OA_KEY_MSG_COUNT, db->batch);
	attrs_text(a, OA_KEY_MSG_CLIENT, OA_STR_MSG_CLIENT);
	attrs_text(a, OA_KEY_MSG_GROUP, OA_STR_MSG_GROUP);
}

static void attrs_db(struct attrs *a)
{
	char query[OA_DB_QUERY_MAX], number[12];
	struct oa_db_texts texts;
	struct oa_bytes known;
	enum oa_messaging what;
	struct oa_db db;

	if (!oa_span_db(a->s, &db, &texts))
		return;
	what = oa_messaging_of(&db, texts.operation);
	if (what) {
		attrs_messaging(a, &db, &texts, what);
		return;
	}
	known = oa_db_command(a->s, &db, texts.operation);
	attrs_str(a, OA_KEY_DB_SYSTEM, oa_db_system(&db));
	attrs_str(a, OA_KEY_DB_NAMESPACE, oa_db_namespace(a->s, &db, number));
	attrs_str(a, OA_KEY_DB_OPERATION, known.len || oa_db_is_sql(&db) ? known : texts.operation);
	attrs_str(a, db.system == OA_STORE_MONGODB ? OA_KEY_DB_COLLECTION : OA_KEY_DB_PROCEDURE, texts.target);
	attrs_str(a, OA_KEY_DB_SUMMARY, oa_span_str(a->s, OA_STR_DB_SUMMARY));
	attrs_str(a, OA_KEY_DB_QUERY, oa_db_query(a->s, &db, texts.operation, query));
	if (db.batch > 1)
		attrs_num(a, OA_KEY_DB_BATCH, db.batch);
	if (db.flags & OA_DB_HAS_ROWS)
		attrs_num(a, OA_KEY_DB_ROWS, db.rows);
	attrs_str(a, OA_KEY_DB_STATUS, oa_db_status(&db, &texts, number));
}

static void attrs_tunnel(struct attrs *a)
{
	struct oa_bytes upgrade = oa_span_str(a->s, OA_STR_UPGRADE);

	if (!oa_bytes_ieq(upgrade, OA_LIT("connect"))) /* what is inside of that one nobody said */
		attrs_str(a, OA_KEY_PROTO_NAME, upgrade);
	attrs_num(a, OA_KEY_TUNNEL_CLIENT, a->s->req_body);
	attrs_num(a, OA_KEY_TUNNEL_SERVER, a->s->resp_body);
}

/* What Jaeger's own adaptive sampling reads from root spans, and why the tail rule kept it. The parameter is a text: it
 * must come back as it was given out. */
static void attrs_sampling(struct attrs *a)
{
	static const struct oa_bytes types[] = { { 0 }, { (const uint8_t *)"probabilistic", 13 },
						 { (const uint8_t *)"ratelimiting", 12 },
						 { (const uint8_t *)"lowerbound", 10 } };
	static const struct oa_bytes reasons[] = { { 0 }, { (const uint8_t *)"error", 5 }, { (const uint8_t *)"slow", 4 },
						   { (const uint8_t *)"rare", 4 } };
	struct oa_bytes sampler = oa_span_str(a->s, OA_STR_SAMPLER);

	if (sampler.len > 1 && sampler.ptr[0] <= OA_TYPE_LOWERBOUND) {
		attrs_str(a, OA_KEY_SAMPLER_TYPE, types[sampler.ptr[0]]);
		attrs_str(a, OA_KEY_SAMPLER_PARAM, oa_bytes(sampler.ptr + 1, sampler.len - 1));
	}
	if (a->s->keep <= OA_KEEP_COUNT)
		attrs_str(a, OA_KEY_KEEP_REASON, reasons[a->s->keep]);
}

static void attrs_tls(struct attrs *a)
{
	char buf[8];

	if (!(a->s->tls_version | a->s->tls_cipher))
		return;
	attrs_str(a, OA_KEY_TLS_VERSION, oa_tls_version_name(a->s->tls_version));
	attrs_str(a, OA_KEY_TLS_CIPHER, oa_cipher_name(a->s->tls_cipher, buf));
}

/* The setting for spans, else the general one, else none. */
static size_t attrs_limit(int64_t own, int64_t general)
{
	int64_t limit = own >= 0 ? own : general;

	return limit < 0 ? SIZE_MAX : (size_t)limit;
}

unsigned oa_span_attrs(const struct oa_span *s, const struct oa_attr_sink *sink, void *ctx)
{
	size_t count = attrs_limit(oa_config.span_attribute_count_limit, oa_config.attribute_count_limit);
	struct attrs a = {
		.s = s, .sink = sink, .ctx = ctx, .count_max = count < OA_ATTRS_MAX ? (unsigned)count : OA_ATTRS_MAX,
		.limit = attrs_limit(oa_config.span_attribute_value_length_limit, oa_config.attribute_value_length_limit),
	};
	char buf[8];

	a.groups = sink->recall && a.limit == SIZE_MAX;
	if (s->what == OA_WHAT_HTTP)
		attrs_http(&a);
	else if (s->what == OA_WHAT_RPC)
		attrs_rpc(&a);
	else if (s->what == OA_WHAT_DB)
		attrs_db(&a);
	else if (s->what == OA_WHAT_TUNNEL)
		attrs_tunnel(&a);
	attrs_server(&a);
	attrs_peer_and_client(&a);
	attrs_tls(&a);
	attrs_str(&a, OA_KEY_ERROR_TYPE, oa_span_error_type(s, buf));
	if (oa_config.evidence_attribute)
		attrs_str(&a, OA_KEY_EVIDENCE, oa_bytes_str(oa_evidence_name((enum oa_evidence)s->evidence)));
	if (__builtin_expect(s->str[OA_STR_SAMPLER].len || s->keep, 0))
		attrs_sampling(&a);
	if (s->str[OA_STR_HEADERS].len)
		attrs_headers(&a);
	return a.dropped;
}

/* How many of `count` may stay. */
static unsigned attrs_kept(unsigned count, int64_t limit, unsigned *ret_dropped)
{
	unsigned kept = limit >= 0 && limit < count ? (unsigned)limit : count;

	*ret_dropped = count - kept;
	return kept;
}

unsigned oa_span_events(const struct oa_span *s, struct oa_span_event ret_events[OA_EVENTS_MAX], unsigned *ret_dropped)
{
	unsigned n = 0;

	if (s->dns_us)
		ret_events[n++] = (struct oa_span_event){ "dns.lookup", s->dns_us };
	if (s->connect_us)
		ret_events[n++] = (struct oa_span_event){ "connect", s->connect_us };
	if (s->tls_us)
		ret_events[n++] = (struct oa_span_event){ "tls.handshake", s->tls_us };
	return attrs_kept(n, oa_config.span_event_count_limit, ret_dropped);
}

struct oa_bytes oa_span_links(const struct oa_span *s, unsigned *ret_dropped)
{
	struct oa_bytes links = oa_span_str(s, OA_STR_LINKS);
	unsigned count = (unsigned)(links.len / sizeof(struct oa_link));

	return oa_bytes(links.ptr, attrs_kept(count, oa_config.span_link_count_limit, ret_dropped) * sizeof(struct oa_link));
}

struct oa_bytes oa_span_name(const struct oa_span *s)
{
	struct oa_bytes name = oa_span_str(s, OA_STR_NAME), method = oa_span_method(s);

	if (name.len)
		return name;
	if (s->what == OA_WHAT_CONNECT)
		return OA_LIT("connect");
	if (s->what == OA_WHAT_RPC)
		return OA_LIT("grpc");
	if (s->what == OA_WHAT_DB)
		return OA_LIT("db");
	if (s->what == OA_WHAT_TUNNEL)
		return OA_LIT("tunnel");
	return oa_method_is_other(method) ? OA_LIT("HTTP") : method;
}
