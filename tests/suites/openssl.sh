# Its recipes; sslapi and others speak TLS within a process, of which the library sees the calls only (awake.c).
source=openssl
packages="gcc make perl"
seconds=300

prepare()
{
	gcc -shared -fPIC -o awake.so "$here/awake.c"
	./config no-idea no-mdc2 no-rc5 no-ssl3 no-ssl3-method enable-rfc3779 enable-unit-test enable-crypto-mdebug enable-ktls
	make -j 2
}

list()
{
	SRCTOP=. BLDTOP=. perl test/run_tests.pl list |
		sed 's|.*|&\tenv SRCTOP=. BLDTOP=. PERL=perl EXE_EXT= perl test/run_tests.pl &|'
}
