"""libcurl built with GnuTLS, as git has it, in a plain program.  gnutls_curl.py CERTIFICATE URL...   prints status, HTTP version, body"""
import ctypes
import sys

CURL = ctypes.CDLL("libcurl-gnutls.so.4")
CURL.curl_easy_init.restype = ctypes.c_void_p
WRITE = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)
URL, CAINFO, WRITEFUNCTION, HTTP_VERSION = 10002, 10065, 20011, 84
RESPONSE_CODE, INFO_HTTP_VERSION = 0x200002, 0x20002e
HTTP_2TLS = 4
body = []


def option(handle, number, value):
    assert CURL.curl_easy_setopt(ctypes.c_void_p(handle), ctypes.c_int(number), value) == 0


def info(handle, number):
    value = ctypes.c_long()
    assert CURL.curl_easy_getinfo(ctypes.c_void_p(handle), ctypes.c_int(number), ctypes.byref(value)) == 0
    return value.value


def take(data, size, count, _):
    body.append(ctypes.string_at(data, size * count))
    return size * count


handle, keep = CURL.curl_easy_init(), WRITE(take)
option(handle, WRITEFUNCTION, keep)
option(handle, HTTP_VERSION, ctypes.c_long(HTTP_2TLS))
option(handle, CAINFO, ctypes.c_char_p(sys.argv[1].encode()))
for url in sys.argv[2:]:
    option(handle, URL, ctypes.c_char_p(url.encode()))
    code = CURL.curl_easy_perform(ctypes.c_void_p(handle))
    print(code, info(handle, RESPONSE_CODE), info(handle, INFO_HTTP_VERSION), len(b"".join(body)), flush=True)
    del body[:]
