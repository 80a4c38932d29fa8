#include "bench/peers/nats_connection.h"

#include "absl/strings/str_cat.h"

namespace supercloud {

absl::Status nats_said(natsStatus status) {
  if (status == NATS_OK) return absl::OkStatus();
  const std::string text = absl::StrCat("NATS: ", natsStatus_GetText(status));
  return status == NATS_TIMEOUT ? absl::DeadlineExceededError(text) : absl::UnavailableError(text);
}

absl::Status connect_nats(const std::string& address, bool promptly, NatsConnection& connection) {
  natsOptions* made = nullptr;
  if (absl::Status said = nats_said(natsOptions_Create(&made)); !said.ok()) return said;
  const Handle<natsOptions, natsOptions_Destroy> options(made);
  for (const natsStatus status :
       {natsOptions_SetURL(made, address.c_str()), natsOptions_SetTimeout(made, nats_patience_ms),
        natsOptions_SetAllowReconnect(made, false), natsOptions_SetSendAsap(made, promptly)})
    if (absl::Status said = nats_said(status); !said.ok()) return said;
  natsConnection* connected = nullptr;
  const natsStatus status = natsConnection_Connect(&connected, made);
  connection.reset(connected);
  return nats_said(status);
}

}  // namespace supercloud
