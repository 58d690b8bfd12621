# How each third party is built. Sourced by scripts/deps, which sets $prefix, $work and $jobs;
# every build_x() runs in the unpacked source and installs into $prefix.

deps_cflags="-O2 -g1 -fPIC -fvisibility=hidden -fexceptions -fasynchronous-unwind-tables \
-ffunction-sections -fdata-sections -fcf-protection"

# Compiles the files given on stdin into lib$1.a; the rest are compiler flags.
build_archive()
{
	archive=$prefix/lib/lib$1.a
	shift
	while read -r source; do
		object=$(printf '%s' "$source" | tr / _)
		printf '%s\0' "$source" -o "${object%.c}.o"
	done | xargs -0 -n 3 -P "$jobs" cc $deps_cflags "$@" -c
	rm -f "$archive"
	ar rcsD "$archive" ./*.o
}

# Configures, builds and installs with cmake; the arguments are settings.
build_cmake()
{
	cmake -S . -B build.ours -G Ninja \
		-DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$deps_cflags" \
		-DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
		-DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_POSITION_INDEPENDENT_CODE=ON \
		-DBUILD_SHARED_LIBS=OFF "$@"
	ninja -C build.ours -j "$jobs" install
}

# Writes $1.pc with version $2, libraries $3 and, if given, required packages $4.
write_pc()
{
	cat >"$prefix/lib/pkgconfig/$1.pc" <<-PC
		prefix=\${pcfiledir}/../..
		Name: $1
		Description: $1, built static and hidden
		Version: $2
		Requires: ${4:-}
		Cflags: -I\${prefix}/include
		Libs: -L\${prefix}/lib $3
	PC
}

build_zlib()
{
	printf '%s.c\n' adler32 compress crc32 deflate inffast inflate inftrees trees uncompr zutil |
		build_archive z -DHAVE_HIDDEN
	cp zlib.h zconf.h "$prefix/include/"
	write_pc zlib "$1" -lz
}

build_mbedtls()
{
	cp "$top/scripts/lib/mbedtls_config.h" include/mbedtls/config.h
	ls library/*.c | build_archive mbedtls -Iinclude -Ilibrary
	cp -R include/mbedtls include/psa "$prefix/include/"
	write_pc mbedtls "$1" -lmbedtls
}

build_c_ares()
{
	build_cmake -DCARES_STATIC=ON -DCARES_SHARED=OFF -DCARES_STATIC_PIC=ON \
		-DCARES_BUILD_TOOLS=OFF -DCARES_BUILD_TESTS=OFF
	write_pc libcares "$1" -lcares
}

build_nghttp2()
{
	number=$(printf '0x%02x%02x%02x' $(printf '%s' "$1" | tr . ' '))
	sed -e "s/@PACKAGE_VERSION@/$1/" -e "s/@PACKAGE_VERSION_NUM@/$number/" \
		lib/includes/nghttp2/nghttp2ver.h.in >lib/includes/nghttp2/nghttp2ver.h
	ls lib/*.c | build_archive nghttp2 -Ilib/includes -Ilib -DBUILDING_NGHTTP2 -DNGHTTP2_STATICLIB \
		-DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_TIME_H -DHAVE_CLOCK_GETTIME
	mkdir -p "$prefix/include/nghttp2"
	cp lib/includes/nghttp2/nghttp2.h lib/includes/nghttp2/nghttp2ver.h "$prefix/include/nghttp2/"
	write_pc libnghttp2 "$1" -lnghttp2
}

build_curl()
{
	deps_cflags="$deps_cflags -DCURL_DISABLE_SOCKETPAIR -DCARES_STATICLIB"
	off=
	for feature in COOKIES NETRC PROXY ALTSVC HSTS MIME DOH PARSEDATE PROGRESS_METER \
		GETOPTIONS CRYPTO_AUTH NTLM LIBCURL_OPTION SHUFFLE_DNS VERBOSE_STRINGS
	do
		off="$off -DCURL_DISABLE_$feature=ON"
	done
	build_cmake -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DENABLE_MANUAL=OFF \
		-DHTTP_ONLY=ON -DENABLE_UNIX_SOCKETS=ON -DENABLE_WEBSOCKETS=OFF $off \
		-DENABLE_ARES=ON -DENABLE_THREADED_RESOLVER=OFF \
		-DCARES_INCLUDE_DIR="$prefix/include" -DCARES_LIBRARY="$prefix/lib/libcares.a" \
		-DCURL_USE_OPENSSL=OFF -DCURL_USE_MBEDTLS=ON \
		-DMBEDTLS_INCLUDE_DIRS="$prefix/include" \
		-DMBEDTLS_LIBRARY="$prefix/lib/libmbedtls.a" \
		-DMBEDX509_LIBRARY="$prefix/lib/libmbedtls.a" \
		-DMBEDCRYPTO_LIBRARY="$prefix/lib/libmbedtls.a" \
		-DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none \
		-DUSE_NGHTTP2=ON -DNGHTTP2_INCLUDE_DIR="$prefix/include" \
		-DNGHTTP2_LIBRARY="$prefix/lib/libnghttp2.a" \
		-DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF \
		-DUSE_LIBIDN2=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH=OFF \
		-DCURL_USE_LIBSSH2=OFF -DCURL_USE_GSSAPI=OFF -DHAVE_ARC4RANDOM=0
	write_pc libcurl "$1" -lcurl "libcares libnghttp2 mbedtls"
	sed -i 's/^Cflags:.*/& -DCURL_STATICLIB/' "$prefix/lib/pkgconfig/libcurl.pc"
}

build_protobuf_c()
{
	echo protobuf-c/protobuf-c.c | build_archive protobuf-c -I. \
		-DPACKAGE_VERSION="\"$1\"" -DPACKAGE_STRING="\"protobuf-c $1\""
	mkdir -p "$prefix/include/protobuf-c"
	cp protobuf-c/protobuf-c.h "$prefix/include/protobuf-c/"
	write_pc libprotobuf-c "$1" -lprotobuf-c
}

build_libevent()
{
	build_cmake -DEVENT__LIBRARY_TYPE=STATIC -DEVENT__DISABLE_OPENSSL=ON \
		-DEVENT__DISABLE_THREAD_SUPPORT=ON -DEVENT__DISABLE_DEBUG_MODE=ON \
		-DEVENT__DISABLE_BENCHMARK=ON -DEVENT__DISABLE_TESTS=ON \
		-DEVENT__DISABLE_SAMPLES=ON -DEVENT__DISABLE_REGRESS=ON \
		-DEVENT__HAVE_SELECT=0 -DEVENT__HAVE_GETADDRINFO=0
	write_pc libevent "$1" "-levent_extra -levent_core"
}

build_cjson()
{
	echo cJSON.c | build_archive cjson -DCJSON_HIDE_SYMBOLS
	mkdir -p "$prefix/include/cjson"
	cp cJSON.h "$prefix/include/cjson/"
	write_pc libcjson "$1" -lcjson
}

build_libyaml()
{
	version=$(printf '%s' "$1" | tr . ' ')
	set -- "$1" $version
	ls src/*.c | build_archive yaml -Iinclude -DYAML_DECLARE_STATIC -DYAML_VERSION_STRING="\"$1\"" \
		-DYAML_VERSION_MAJOR="$2" -DYAML_VERSION_MINOR="$3" -DYAML_VERSION_PATCH="$4"
	cp include/yaml.h "$prefix/include/"
	write_pc yaml-0.1 "$1" -lyaml
}
