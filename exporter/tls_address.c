#include "exporter/tls_address.h"

#include <arpa/inet.h>
#include <string.h>

#include <curl/curl.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#define SAN_IP_ADDRESS 7 /* GeneralName, context-specific tag */

void oa_tls_address_parse(struct oa_tls_address *ret, const char *host)
{
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, ret->ip) == 1)
		ret->len = 4;
	else if (inet_pton(AF_INET6, host, ret->ip) == 1)
		ret->len = 16;
}

static int tls_has_address(const mbedtls_x509_crt *crt, const struct oa_tls_address *wanted)
{
	const mbedtls_x509_sequence *san = &crt->subject_alt_names;

	if (!(crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME))
		return 0;
	for (; san; san = san->next)
		if ((san->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == SAN_IP_ADDRESS && san->buf.len == wanted->len &&
		    memcmp(san->buf.p, wanted->ip, wanted->len) == 0)
			return 1;
	return 0;
}

/* depth 0 is the collector's own certificate. Nothing but the mismatch of the name is forgiven. */
static int tls_on_verify(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	if (depth == 0 && *flags & MBEDTLS_X509_BADCERT_CN_MISMATCH && tls_has_address(crt, arg))
		*flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
	return 0;
}

static CURLcode tls_on_config(CURL *easy, void *config, void *arg)
{
	mbedtls_ssl_conf_verify(config, tls_on_verify, arg);
	return CURLE_OK;
}

int oa_tls_address_set(void *easy, const struct oa_tls_address *address)
{
	CURLcode err;

	if (!address->len)
		return CURLE_OK;
	err = curl_easy_setopt((CURL *)easy, CURLOPT_SSL_CTX_FUNCTION, tls_on_config);
	return err ? err : curl_easy_setopt((CURL *)easy, CURLOPT_SSL_CTX_DATA, (void *)address);
}
