source=libevent
packages="cmake ninja-build gcc libssl-dev zlib1g-dev python3"

prepare()
{
	cmake -G Ninja -B b .
	ninja -C b regress
}

list()
{
	b/bin/regress --list-tests | sed -n 's|^ *\([^ ]*/[^ ]*\).*|\1\tb/bin/regress \1|p'
}
