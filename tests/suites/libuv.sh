source=libuv1
packages="cmake ninja-build gcc"
jobs=1	# fixed ports

prepare()
{
	cmake -G Ninja -B b -DLIBUV_BUILD_TESTS=ON .
	ninja -C b
}

list()
{
	b/uv_run_tests_a --list | sed 's|.*|&\tb/uv_run_tests_a &|'
}
