# nghttpx's integration tests, with clients and backends in Go, and the unit tests. Without HTTP/3 and mruby.
source=nghttp2
packages="cmake ninja-build g++ pkg-config libssl-dev libev-dev libc-ares-dev zlib1g-dev libcunit1-dev golang-go"
jobs=1	# they share a port

# quic-go builds with few versions of Go, so it is cut out. Debian's settings of nghttpx, if installed, would add a backend.
prepare()
{
	cmake -G Ninja -B b -DENABLE_APP=ON -DENABLE_STATIC_LIB=ON -DENABLE_DOC=OFF -DWITH_LIBXML2=OFF -DWITH_JEMALLOC=OFF .
	ninja -C b -j 2 nghttpx nghttpx-unittest main failmalloc
	cp integration-tests/nghttpx_http[12]_test.go integration-tests/server_tester.go b/integration-tests
	cd b/integration-tests
	sed -i -e '/quic-go/d' -e '/) http3(/,/^}/d' -e 's|"-LINFO"|&, "--conf=/dev/null"|' server_tester.go
	sh setenv go test -c -o tests
}

list()
{
	names=$(sh b/integration-tests/setenv b/integration-tests/tests -test.list .)
	printf '%s\n' "$names" | sed 's|.*|&\tenv -C b/integration-tests sh setenv ./tests -test.run "^&\$"|'
	printf '%s\n' tests/main tests/failmalloc src/nghttpx-unittest | sed 's|.*|&\tb/&|'
}
