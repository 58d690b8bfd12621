/* cipher.def as a table; both ways are rare: once per session, and on the side thread. */
#include "core/tls_names.h"

static const struct {
	uint16_t number;
	const char *name;
} ciphers[] = {
#define OA_CIPHER(number, name) { number, name },
#include "core/cipher.def"
#undef OA_CIPHER
};
#define CIPHERS (sizeof(ciphers) / sizeof(ciphers[0]))

struct oa_bytes oa_tls_version_name(uint16_t version)
{
	static const char *const names[] = { "1.0", "1.1", "1.2", "1.3" };

	return version >= 0x0301 && version <= 0x0304 ? oa_bytes_str(names[version - 0x0301]) : (struct oa_bytes){ 0 };
}

struct oa_bytes oa_cipher_name(uint16_t number, char buf[8])
{
	static const char digits[] = "0123456789ABCDEF";

	for (unsigned i = 0; i < CIPHERS; i++)
		if (ciphers[i].number == number)
			return oa_bytes_str(ciphers[i].name);
	buf[0] = '0';
	buf[1] = 'x';
	for (unsigned i = 0; i < 4; i++)
		buf[2 + i] = digits[number >> (12 - 4 * i) & 15];
	return oa_bytes(buf, number ? 6 : 0);
}

uint16_t oa_cipher_number(struct oa_bytes name)
{
	for (unsigned i = 0; i < CIPHERS; i++)
		if (oa_bytes_eq(name, oa_bytes_str(ciphers[i].name)))
			return ciphers[i].number;
	return 0;
}
