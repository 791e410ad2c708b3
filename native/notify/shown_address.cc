#include "notify/shown_address.h"

#include <netinet/in.h>

#include "publish/inside.h"

namespace sockswitch {
namespace {

bool has_ports(int protocol) {
  return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP || protocol == IPPROTO_UDP;
}

Address any_of_family(bool v4) { return v4 ? Address::from_v4({INADDR_ANY}) : Address{}; }

}  // namespace

std::optional<Address> own_in_place_of(Context& context, const Target& target,
                                       const Destination& asked) {
  NetworkView* view = context.container.view.get();
  if (!view || !has_ports(target.identity.protocol) || !may_be_seen(asked.address)) return {};
  if (target.identity.netns != view->cookie() && !target.of_host(context)) return {};
  bool of_host = false;
  context.host.control.run([&] { of_host = context.host.network.is_own(asked.address); });
  if (!of_host || view->is_own(asked.address)) return {};
  if (!view->may_switch(context.policy.permissions)) return {};
  const bool v4 = asked.address.is_v4();
  return view->address_outwards(v4).value_or(any_of_family(v4));
}

}  // namespace sockswitch
