// gRPC in C++, clear text.  greeter serve PORT [UPSTREAM-PORT]   (Hello asks the upstream's Hello first)
//                           greeter call PORT COUNT THREADS      one channel, every kind of call
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>

#include "greeter.grpc.pb.h"

using demo::Greeter;
using demo::Text;
using grpc::ServerContext;
using grpc::Status;

class Service final : public Greeter::Service {
public:
	explicit Service(const std::string &upstream)
	{
		if (!upstream.empty())
			stub_ = Greeter::NewStub(grpc::CreateChannel(upstream, grpc::InsecureChannelCredentials()));
	}
	Status Hello(ServerContext *, const Text *in, Text *out) override
	{
		if (stub_) {
			grpc::ClientContext context;
			Text answer;
			Status status = stub_->Hello(&context, *in, &answer);

			out->set_text("via " + answer.text());
			return status;
		}
		out->set_text("hello " + in->text());
		return Status::OK;
	}
	Status Many(ServerContext *, const Text *in, grpc::ServerWriter<Text> *out) override
	{
		for (int i = 0; i < 5; i++)
			out->Write(*in);
		return Status::OK;
	}
	Status Collect(ServerContext *, grpc::ServerReader<Text> *in, Text *out) override
	{
		Text text;
		int count = 0;

		while (in->Read(&text))
			count++;
		out->set_text(std::to_string(count));
		return Status::OK;
	}
	Status Chat(ServerContext *, grpc::ServerReaderWriter<Text, Text> *both) override
	{
		Text text;

		while (both->Read(&text))
			both->Write(text);
		return Status::OK;
	}
	Status Fail(ServerContext *, const Text *, Text *) override
	{
		return Status(grpc::StatusCode::NOT_FOUND, "no such thing");
	}
	Status Slow(ServerContext *context, const Text *, Text *) override
	{
		while (!context->IsCancelled())
			std::this_thread::sleep_for(std::chrono::milliseconds(5));
		return Status::CANCELLED;
	}

private:
	std::unique_ptr<Greeter::Stub> stub_;
};

static int serve(const std::string &port, const std::string &upstream)
{
	Service service(upstream);
	grpc::ServerBuilder builder;

	builder.AddListeningPort("127.0.0.1:" + port, grpc::InsecureServerCredentials());
	builder.RegisterService(&service);
	builder.BuildAndStart()->Wait();
	return 0;
}

static void call_all(Greeter::Stub *stub, std::atomic<int> *ok)
{
	Text in, out;

	in.set_text(std::string(300, 'x'));
	{
		grpc::ClientContext context;
		*ok += stub->Hello(&context, in, &out).ok();
	}
	{
		grpc::ClientContext context;
		auto many = stub->Many(&context, in);
		while (many->Read(&out))
			;
		*ok += many->Finish().ok();
	}
	{
		grpc::ClientContext context;
		auto collect = stub->Collect(&context, &out);
		for (int i = 0; i < 3; i++)
			collect->Write(in);
		collect->WritesDone();
		*ok += collect->Finish().ok() && out.text() == "3";
	}
	{
		grpc::ClientContext context;
		auto chat = stub->Chat(&context);
		for (int i = 0; i < 2; i++) {
			chat->Write(in);
			chat->Read(&out);
		}
		chat->WritesDone();
		*ok += chat->Finish().ok();
	}
	{
		grpc::ClientContext context;
		*ok += stub->Fail(&context, in, &out).error_code() == grpc::StatusCode::NOT_FOUND;
	}
}

static int call(const std::string &port, int count, int threads)
{
	auto stub = Greeter::NewStub(grpc::CreateChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials()));
	std::vector<std::thread> workers;
	std::atomic<int> ok(0);
	Text in, out;

	for (int t = 0; t < threads; t++)
		workers.emplace_back([&] {
			for (int i = 0; i < count; i++)
				call_all(stub.get(), &ok);
		});
	for (auto &worker : workers)
		worker.join();
	grpc::ClientContext context;
	context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
	ok += stub->Slow(&context, in, &out).error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
	std::cout << "ok " << ok << std::endl;
	return 0;
}

int main(int argc, char **argv)
{
	std::string what = argv[1];

	if (what == "serve")
		return serve(argv[2], argc > 3 ? "127.0.0.1:" + std::string(argv[3]) : "");
	return call(argv[2], std::stoi(argv[3]), std::stoi(argv[4]));
}
