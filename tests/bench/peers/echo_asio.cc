// SPDX-License-Identifier: MIT
// An echo server on Boost.Asio, single-threaded: a chain of handlers for each connection.
#include <boost/asio.hpp>
#include <cstdio>
#include <memory>

using boost::asio::ip::tcp;

struct connection : std::enable_shared_from_this<connection> {
	explicit connection(tcp::socket s) : socket(std::move(s)) {}

	void receive()
	{
		socket.async_read_some(boost::asio::buffer(buffer),
				       [self = shared_from_this()](boost::system::error_code error, std::size_t count) {
					       if (!error)
						       self->send(count);
				       });
	}

	void send(std::size_t size)
	{
		boost::asio::async_write(socket, boost::asio::buffer(buffer, size),
					 [self = shared_from_this()](boost::system::error_code error, std::size_t) {
						 if (!error)
							 self->receive();
					 });
	}

	tcp::socket socket;
	char buffer[1024];
};

static void accept_next(tcp::acceptor &acceptor)
{
	acceptor.async_accept([&acceptor](boost::system::error_code error, tcp::socket socket) {
		if (!error)
			std::make_shared<connection>(std::move(socket))->receive();
		accept_next(acceptor);
	});
}

int main()
{
	boost::asio::io_context context(1);
	tcp::acceptor acceptor(context, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));

	acceptor.listen(4096);
	std::printf("%d\n", acceptor.local_endpoint().port());
	std::fflush(stdout);
	accept_next(acceptor);
	context.run();
}
