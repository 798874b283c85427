// The PMIx server of one node of one step: libpmix between the ranks, and the shepherd that started this process. What the servers of the step's nodes exchange
// goes over their shepherds (exchange.h). One process, one server.
#pragma once

#include <string>

namespace bai::pmix {

// Which libpmix this is linked with, for people.
std::string library();

// Serves until the shepherd closes the socket, or does not speak our language. Returns the exit status: 0, or 1 after saying on
// standard error why it cannot serve.
int serve(int socket);

}  // namespace bai::pmix
