source=curl
packages="gcc make pkg-config perl libssl-dev libnghttp2-dev zlib1g-dev libbrotli-dev nghttp2-proxy stunnel4 python3 openssh-server"
jobs=1	# they share ports
whole_requests=yes

prepare()
{
	./configure --with-openssl --with-nghttp2 --disable-static --without-libpsl
	make -j 2
	make -C tests
}

list()
{
	for test in tests/data/test[0-9]*; do
		printf '%s\tenv -C tests perl runtests.pl -a -n %s\n' "${test##*/}" "${test##*/test}"
	done
}
