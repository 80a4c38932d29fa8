// A feed of AWS's prices over a server on loopback, and the answers that it gets.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "actors/spot/live/aws_feed.h"
#include "tests/actors/live/live_world.h"

namespace supercloud {

struct AwsItem {
  std::string zone;
  std::string price;
  absl::Time since;
  std::string type = "r3.large";
  std::string product = "Linux/UNIX";
};

// An answer in the form of EC2's.
inline std::string aws_xml(const std::vector<AwsItem>& items, const std::string& next_token = "") {
  std::string xml =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<DescribeSpotPriceHistoryResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n"
      "  <requestId>req-1</requestId>\n  <spotPriceHistorySet>\n";
  for (const AwsItem& item : items) {
    absl::StrAppend(&xml, "    <item><instanceType>", item.type, "</instanceType>",
                    "<productDescription>", item.product, "</productDescription><spotPrice>",
                    item.price, "</spotPrice><timestamp>",
                    absl::FormatTime("%Y-%m-%dT%H:%M:%S.000Z", item.since, absl::UTCTimeZone()),
                    "</timestamp><availabilityZone>", item.zone, "</availabilityZone></item>\n");
  }
  return absl::StrCat(xml, "  </spotPriceHistorySet>\n  <nextToken>", next_token,
                      "</nextToken>\n</DescribeSpotPriceHistoryResponse>\n");
}

inline std::string aws_error(const std::string& code, const std::string& message) {
  return absl::StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>",
                      code, "</Code><Message>", message,
                      "</Message></Error></Errors><RequestID>req-2</RequestID></Response>");
}

// Of one feed, which asks for r3.large and m5.xlarge.
class AwsFeedTest : public LiveWorld {
 protected:
  AwsFeedTest() {
    options.instance_types = {"r3.large", "m5.xlarge"};
    options.credentials = {"AKIDEXAMPLE", "SECRETEXAMPLE", "TOKENEXAMPLE"};
    options.endpoint = server.url();
    options.history = absl::Hours(1);
  }
  void make() {
    auto made = make_aws_feed(time, http(), Random(7), options);
    ASSERT_TRUE(made.ok()) << made.status();
    feed = *std::move(made);
  }
  absl::Time at(int second) const { return start + absl::Seconds(second); }
  static std::string a(std::int64_t nano, int second) {
    return absl::StrCat("aws/us-east-1/us-east-1a/r3.large/spot ", nano, " @", second);
  }
  static std::string b(std::int64_t nano, int second) {
    return absl::StrCat("aws/us-east-1/us-east-1b/r3.large/spot ", nano, " @", second);
  }
  // Time passes until the next poll; that brings `items`.
  void poll(const std::string& xml) {
    server.answer(http_answer(200, xml));
    time.run_for(options.poll.every);
    ASSERT_TRUE(settle());
  }
  // The status that an answer of `status` leads to, before any price.
  absl::Status refusal(int status, const std::string& code, const std::string& message,
                       const std::string& headers = "") {
    make();
    server.answer(http_answer(status, aws_error(code, message), headers));
    return next().status();
  }
  std::string field(const std::string& name) const {
    return field_of(server.seen().size() - 1, name);
  }
  std::string field_of(std::size_t request, const std::string& name) const {
    for (const absl::string_view part : absl::StrSplit(server.seen()[request].body, '&'))
      if (part.size() > name.size() && std::string(part.substr(0, name.size())) == name &&
          part[name.size()] == '=')
        return std::string(part.substr(name.size() + 1));
    return "";
  }

  AwsFeedOptions options;
};

}  // namespace supercloud
