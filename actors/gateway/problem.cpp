#include "actors/gateway/problem.h"

#include <nlohmann/json.hpp>

namespace supercloud {
namespace {

std::string_view title_of(int status) {
  switch (status) {
    case 400:
      return "The request cannot be understood";
    case 401:
      return "No valid token";
    case 403:
      return "The token does not allow it";
    case 404:
      return "No such resource";
    case 405:
      return "Only GET is answered";
    case 406:
      return "No such form of it";
    case 421:
      return "Not the name of this gateway";
    case 503:
      return "Not now";
    default:
      return "The request was refused";
  }
}

}  // namespace

std::string problem_json(const Problem& problem) {
  nlohmann::ordered_json json = {{"type", "about:blank"},
                                 {"title", title_of(problem.status)},
                                 {"status", problem.status},
                                 {"detail", problem.detail}};
  if (!problem.parameter.empty()) json["parameter"] = problem.parameter;
  if (!problem.cure.empty()) json["cure"] = problem.cure;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace supercloud
