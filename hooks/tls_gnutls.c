/* GnuTLS: plain text at gnutls_record_recv and gnutls_record_send and their other forms. Unlike OpenSSL it copies what it
 * cannot send at once, so that a repeated call may come with nothing; it takes at most one record at a time; and what is
 * corked counts as sent. */
#include "hooks/tls.h"

#include "core/clock.h"
#include "core/tls_names.h"

typedef struct gnutls_session_int *gnutls_session_t;

struct datum {
	unsigned char *data;
	unsigned int size;
};

/* As in the library's own headers, but for pointers to its types. */
ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t size);
ssize_t gnutls_record_recv_seq(gnutls_session_t session, void *data, size_t size, unsigned char *seq);
ssize_t gnutls_record_recv_packet(gnutls_session_t session, void **packet);
ssize_t gnutls_record_recv_early_data(gnutls_session_t session, void *data, size_t size);
ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t size);
ssize_t gnutls_record_send2(gnutls_session_t session, const void *data, size_t size, size_t pad, unsigned flags);
ssize_t gnutls_record_send_range(gnutls_session_t session, const void *data, size_t size, const void *range);
ssize_t gnutls_record_send_file(gnutls_session_t session, int fd, off_t *offset, size_t count);
ssize_t gnutls_record_send_early_data(gnutls_session_t session, const void *data, size_t size);
int gnutls_record_uncork(gnutls_session_t session, unsigned int wait);
int gnutls_handshake(gnutls_session_t session);
int gnutls_bye(gnutls_session_t session, int how);
void gnutls_deinit(gnutls_session_t session);
void gnutls_session_get_random(gnutls_session_t session, struct datum *ret_client, struct datum *ret_server);
int gnutls_protocol_get_version(gnutls_session_t session);
int gnutls_cipher_get(gnutls_session_t session);
const char *gnutls_ciphersuite_get(gnutls_session_t session);
int gnutls_error_is_fatal(int error);
void gnutls_packet_get(const void *packet, struct datum *ret_data, unsigned char *ret_seq);
unsigned int gnutls_session_get_verify_cert_status(gnutls_session_t session);

#define VERSION_SSL3   1
#define VERSION_TLS1_3 5
#define VERSION_DTLS_FROM 200
#define VERSION_DTLS_TO   254
#define CIPHER_NULL    1
#define NOT_VERIFIED   0xffffffffu

#define OA_LIB_LIST "hooks/gnutls.def"
#define OA_LIB_FILE "libgnutls."
#include "hooks/lib_names.h"

/* -- what can be asked -- */

static bool gnutls_random(const struct oa_tls_source *src, uint8_t ret[32])
{
	struct datum client = { NULL, 0 }, server;

	if (!FN(src->lib, gnutls_session_get_random))
		return false;
	FN(src->lib, gnutls_session_get_random)(src->session, &client, &server);
	if (!client.data || client.size != 32)
		return false;
	__builtin_memcpy(ret, client.data, 32);
	return true;
}

/* DTLS: no stream, and what waits to be sent may be discarded (gnutls_record_discard_queued). */
static bool gnutls_is_datagram(const struct oa_tls_source *src)
{
	int version = ASK(src, gnutls_protocol_get_version, 0);

	return version >= VERSION_DTLS_FROM && version <= VERSION_DTLS_TO;
}

static uint16_t gnutls_version(const struct oa_tls_source *src)
{
	int version = ASK(src, gnutls_protocol_get_version, 0);

	return version >= VERSION_SSL3 && version <= VERSION_TLS1_3 ? (uint16_t)(0x0300 + version - VERSION_SSL3) : 0;
}

static uint16_t gnutls_cipher(const struct oa_tls_source *src)
{
	/* Where no handshake has begun it follows a NULL pointer. */
	bool negotiated = ASK(src, gnutls_cipher_get, CIPHER_NULL) > CIPHER_NULL;
	const char *name = negotiated ? ASK(src, gnutls_ciphersuite_get, NULL) : NULL;

	return name ? oa_cipher_number(oa_bytes_str(name)) : 0;
}

static bool gnutls_distrusted(const struct oa_tls_source *src)
{
	unsigned int status = ASK(src, gnutls_session_get_verify_cert_status, 0);

	return status && status != NOT_VERIFIED;
}

static unsigned gnutls_modes(const struct oa_tls_source *src)
{
	return OA_TLS_PARTIAL | OA_TLS_MOVING | OA_TLS_NOTHING;
}

static const struct oa_tls_ops gnutls_ops = {
	.modes = gnutls_modes, .foreign = gnutls_is_datagram, .random = gnutls_random, .version = gnutls_version, .cipher = gnutls_cipher, .distrusted = gnutls_distrusted,
};

/* -- one call -- */

/* Each hook begins with this: it must be in the hook itself, whose caller it asks for. */
#define CALL_BEGIN(k, session) \
	struct oa_tls_call k; \
	k.call.lib = oa_lib_of(&lib_names, (session), CALLER); \
	oa_tls_begin(&k, &gnutls_ops, (session), CALLER)

static enum oa_tls_result call_result(const struct oa_tls_call *k, ssize_t result)
{
	if (result >= 0)
		return OA_TLS_DONE;
	return FN(k->call.lib, gnutls_error_is_fatal) && FN(k->call.lib, gnutls_error_is_fatal)((int)result) ? OA_TLS_FAILED :
												     OA_TLS_AGAIN;
}

/* -- reading -- */

static ssize_t recv_told(struct oa_tls_call *k, const void *data, size_t size, ssize_t n)
{
	oa_lib_end(&k->call);
	if (!k->ref.gen || !size)
		return n;
	OA_OBSERVE() {
		if (n > 0)
			oa_tls_on_read(&k->src, k->ref, data, (size_t)n);
		else if (n == 0 || call_result(k, n) == OA_TLS_FAILED)
			oa_tls_on_end(&k->src, k->ref, n ? oa_tls_broken(g_.err) : 0);
	}
	return n;
}

OA_EXPORT ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t size)
{
	CALL_BEGIN(k, session);

	return recv_told(&k, data, size, FN(k.call.lib, gnutls_record_recv)(session, data, size));
}

OA_EXPORT ssize_t gnutls_record_recv_seq(gnutls_session_t session, void *data, size_t size, unsigned char *seq)
{
	CALL_BEGIN(k, session);

	return recv_told(&k, data, size, FN(k.call.lib, gnutls_record_recv_seq)(session, data, size, seq));
}

OA_EXPORT ssize_t gnutls_record_recv_packet(gnutls_session_t session, void **packet)
{
	struct datum data = { NULL, 0 };
	ssize_t n;
	CALL_BEGIN(k, session);

	n = FN(k.call.lib, gnutls_record_recv_packet)(session, packet);
	if (n > 0 && k.ref.gen && FN(k.call.lib, gnutls_packet_get))
		FN(k.call.lib, gnutls_packet_get)(*packet, &data, NULL);
	return recv_told(&k, data.data, n > 0 ? data.size : 1, n);
}

OA_EXPORT ssize_t gnutls_record_recv_early_data(gnutls_session_t session, void *data, size_t size)
{
	ssize_t n;
	CALL_BEGIN(k, session);

	n = FN(k.call.lib, gnutls_record_recv_early_data)(session, data, size);
	return recv_told(&k, data, n > 0 ? size : 0, n); /* failing means that there is none */
}

/* -- writing -- */

/* How the record of a send2 is padded; a plain send has none. */
struct put {
	bool two;
	size_t pad;
	unsigned flags;
};

static OA_HOT ssize_t put_call(const struct oa_tls_call *k, const struct put *p, const void *data, size_t size)
{
	if (p->two)
		return FN(k->call.lib, gnutls_record_send2)(k->src.session, data, size, p->pad, p->flags);
	return FN(k->call.lib, gnutls_record_send)(k->src.session, data, size);
}

OA_HOT OA_SLOW ssize_t put_watched(struct oa_tls_call *k, const struct put *p, const void *data, size_t size)
{
	struct oa_tls_write w;
	bool watched = false;
	enum oa_tls_result result;
	size_t host;
	ssize_t n;

	OA_OBSERVE_ALWAYS()
		watched = oa_tls_before_write(&k->src, k->ref, data, size, &w);
	if (!watched)
		return put_call(k, p, data, size);
	do {
		n = put_call(k, p, w.at, w.len);
		result = call_result(k, n);
	} while (oa_tls_told(k, &w, n > 0 ? (size_t)n : 0, result, oa_tls_broken(errno), &host));
	return host ? (ssize_t)host : n;
}

static ssize_t put(struct oa_tls_call *k, const struct put *p, const void *data, size_t size)
{
	bool repeats = !data && !size;
	ssize_t n;

	if (k->ref.gen && (repeats || (size && oa_hook_plausible(data, size))))
		n = put_watched(k, p, data, size);
	else
		n = put_call(k, p, data, size);
	oa_lib_end(&k->call);
	return n;
}

OA_EXPORT ssize_t gnutls_record_send(gnutls_session_t session, const void *data, size_t size)
{
	static const struct put plain = { .two = false };
	CALL_BEGIN(k, session);

	k.src.session = session;
	return put(&k, &plain, data, size);
}

OA_EXPORT ssize_t gnutls_record_send2(gnutls_session_t session, const void *data, size_t size, size_t pad, unsigned flags)
{
	struct put padded = { true, pad, flags };
	CALL_BEGIN(k, session);

	k.src.session = session;
	return put(&k, &padded, data, size);
}

/* Its length is hidden in a range that the host chose: nothing is added. */
OA_EXPORT ssize_t gnutls_record_send_range(gnutls_session_t session, const void *data, size_t size, const void *range)
{
	ssize_t n;
	CALL_BEGIN(k, session);

	n = FN(k.call.lib, gnutls_record_send_range)(session, data, size, range);
	oa_lib_end(&k.call);
	if (k.ref.gen && n > 0)
		OA_OBSERVE()
			oa_tls_on_sent(&k.src, k.ref, data, (size_t)n);
	return n;
}

OA_EXPORT ssize_t gnutls_record_send_file(gnutls_session_t session, int fd, off_t *offset, size_t count)
{
	ssize_t n;
	CALL_BEGIN(k, session);

	n = FN(k.call.lib, gnutls_record_send_file)(session, fd, offset, count);
	oa_lib_end(&k.call);
	if (k.ref.gen && n > 0)
		OA_OBSERVE()
			oa_tls_on_sent_blind(k.ref, (size_t)n);
	return n;
}

/* Whether the peer takes it is known later, and whether it is sent again then is the host's business. */
OA_EXPORT ssize_t gnutls_record_send_early_data(gnutls_session_t session, const void *data, size_t size)
{
	ssize_t n;
	CALL_BEGIN(k, session);

	if (k.ref.gen)
		OA_OBSERVE()
			oa_tls_give_up(k.ref, OA_STAT_opaque_early_data);
	n = FN(k.call.lib, gnutls_record_send_early_data)(session, data, size);
	oa_lib_end(&k.call);
	return n;
}

/* What was written while it was corked was seen then; this gives it to gnutls_record_send(). */
OA_EXPORT int gnutls_record_uncork(gnutls_session_t session, unsigned int wait)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, session, CALLER) };
	int result;

	(void)oa_lib_begin(&k, session, CALLER);
	result = FN(k.lib, gnutls_record_uncork)(session, wait);
	oa_lib_end(&k);
	return result;
}

/* -- the beginning and the end -- */

OA_EXPORT int gnutls_handshake(gnutls_session_t session)
{
	uint64_t start_ns;
	int result;
	CALL_BEGIN(k, session);

	start_ns = k.ref.gen ? oa_now_ns() : 0;
	result = FN(k.call.lib, gnutls_handshake)(session);
	oa_lib_end(&k.call);
	if (k.ref.gen)
		OA_OBSERVE()
			oa_tls_on_handshake(&k.src, k.ref, start_ns, call_result(&k, result));
	return result;
}

OA_EXPORT int gnutls_bye(gnutls_session_t session, int how)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, session, CALLER) };
	bool own = oa_lib_begin(&k, session, CALLER);
	int result = FN(k.lib, gnutls_bye)(session, how);

	oa_lib_end(&k);
	if (own && session && oa_hook_active())
		OA_OBSERVE()
			oa_tls_on_shutdown(session);
	return result;
}

OA_EXPORT void gnutls_deinit(gnutls_session_t session)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, session, CALLER) };

	if (oa_lib_begin(&k, session, CALLER))
		oa_tls_session_ends(session);
	FN(k.lib, gnutls_deinit)(session);
	oa_lib_end(&k);
}
