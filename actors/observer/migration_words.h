// What the events of a migration say, as a sentence.
#pragma once

#include <string>

#include "core/event.h"

namespace supercloud {

std::string words(const Event& event, schema::Proposed::Reader e);
std::string words(const Event& event, schema::Accepted::Reader e);
std::string words(const Event& event, schema::Refused::Reader e);
std::string words(const Event& event, schema::TargetReady::Reader e);
std::string words(const Event& event, schema::Started::Reader e);
std::string words(const Event& event, schema::Planned::Reader e);
std::string words(const Event& event, schema::Progress::Reader e);
std::string words(const Event& event, schema::Completed::Reader e);
std::string words(const Event& event, schema::Aborted::Reader e);
std::string words(const Event& event, schema::Cleaned::Reader e);
std::string words(const Event& event, schema::Hurried::Reader e);
std::string words(const Event& event, schema::CancelRequested::Reader e);

}  // namespace supercloud
