#include "actors/spot/live/azure_feed.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/actors/live/live_world.h"

namespace supercloud {
namespace {

struct Meter {
  std::string price = "0.0192";
  std::string sku = "D2s v5 Spot";
  std::string product = "Virtual Machines Dsv5 Series";
  std::string since = "2025-12-01T00:00:00Z";
  std::string currency = "USD";
  std::string unit = "1 Hour";
  std::string type = "Consumption";
  std::string arm_sku = "Standard_D2s_v5";
  std::string more;  // further members
};

std::string azure_json(const std::vector<Meter>& meters, const std::string& next_link = "null") {
  const std::string items = absl::StrJoin(meters, ",\n", [](std::string* out, const Meter& meter) {
    absl::StrAppend(
        out, "{\"currencyCode\":\"", meter.currency, "\",\"tierMinimumUnits\":0.0,",
        "\"retailPrice\":", meter.price, ",\"unitPrice\":", meter.price,
        ",\"armRegionName\":\"westeurope\",\"location\":\"EU West\",\"effectiveStartDate\":\"",
        meter.since, "\",\"meterName\":\"", meter.sku, "\",\"productName\":\"", meter.product,
        "\",\"skuName\":\"", meter.sku,
        "\",\"serviceName\":\"Virtual Machines\",\"unitOfMeasure\":\"", meter.unit,
        "\",\"type\":\"", meter.type, "\",\"isPrimaryMeterRegion\":true,\"armSkuName\":\"",
        meter.arm_sku, "\"", meter.more, "}");
  });
  return absl::StrCat("{\"BillingCurrency\":\"USD\",\"CustomerEntityType\":\"Retail\",\"Items\":[",
                      items, "],\"NextPageLink\":", next_link, ",\"Count\":", meters.size(), "}");
}

class AzureFeedTest : public LiveWorld {
 protected:
  AzureFeedTest() {
    options.instance_types = {"Standard_D2s_v5"};
    options.endpoint = server.url("/api/retail/prices");
  }
  void make() {
    auto made = make_azure_feed(time, http(), Random(7), options);
    ASSERT_TRUE(made.ok()) << made.status();
    feed = *std::move(made);
  }
  // Makes the feed, which gets this answer first.
  void make(const std::vector<Meter>& meters) {
    make();
    server.answer(http_answer(200, azure_json(meters)));
  }
  static std::string spot(std::int64_t nano, int second) {
    return absl::StrCat("azure/westeurope/westeurope/Standard_D2s_v5/spot ", nano, " @", second);
  }
  static std::string on_demand(std::int64_t nano, int second) {
    return absl::StrCat("azure/westeurope/westeurope/Standard_D2s_v5/on-demand ", nano, " @",
                        second);
  }
  static constexpr int december = -31 * 86400;

  AzureFeedOptions options;
};

TEST_F(AzureFeedTest, AsksForEachTypeAndTellsSpotAndOnDemandPrices) {
  options.instance_types = {"Standard_D2s_v5", "Standard_D4s_v5"};
  make();
  server.answer(http_answer(200, azure_json({{}, {.price = "0.096", .sku = "D2s v5"}})));
  server.answer(http_answer(200, azure_json({{.price = "0.04", .arm_sku = "Standard_D4s_v5"}})));
  EXPECT_EQ(next_text(), on_demand(96'000'000, december));
  EXPECT_EQ(next_text(), spot(19'200'000, december));
  EXPECT_EQ(next_text(),
            absl::StrCat("azure/westeurope/westeurope/Standard_D4s_v5/spot 40000000 @", december));
  ASSERT_EQ(server.seen().size(), 2U);
  EXPECT_EQ(server.seen()[0].method, "GET");
  EXPECT_EQ(
      server.seen()[0].target,
      "/api/retail/prices?currencyCode=%27USD%27&%24filter=serviceName%20eq%20%27Virtual%20"
      "Machines%27%20and%20priceType%20eq%20%27Consumption%27%20and%20armRegionName%20eq%20%27"
      "westeurope%27%20and%20armSkuName%20eq%20%27Standard_D2s_v5%27");
  EXPECT_FALSE(server.seen()[0].headers.contains("authorization"));
}

TEST_F(AzureFeedTest, WhatIsNoMachineByTheHourOrNotOfTheSystemIsLeftOut) {
  make({{.sku = "D2s v5 Low Priority"},
        {.product = "Virtual Machines Dsv5 Series Windows"},
        {.product = "Dsv5 Series CloudServices"},
        {.product = "Dsv5 Series Cloud Services"},
        {.product = "Dsv5 Series Dedicated Host"},
        {.type = "DevTestConsumption"},
        {.type = "Reservation"},
        {.arm_sku = "Standard_D2as_v5"},
        {.since = "2026-02-01T00:00:00Z"},
        {.price = "0.5",
         .since = "2025-11-01T00:00:00Z",
         .more = ",\"effectiveEndDate\":\"2025-12-01T00:00:00Z\""},
        {.price = "0.0193"}});
  EXPECT_EQ(next_text(), spot(19'300'000, december));
  ask();
  EXPECT_FALSE(told);
}

TEST_F(AzureFeedTest, WindowsIsAChoice) {
  options.windows = true;
  make({{}, {.price = "0.05", .product = "Virtual Machines Dsv5 Series Windows"}});
  EXPECT_EQ(next_text(), spot(50'000'000, december));
}

TEST_F(AzureFeedTest, PricesAreExactToTheNanoDollar) {
  make({{.price = "0.003941234"}});
  EXPECT_EQ(next_text(), spot(3'941'234, december));
  make({{.price = "1.5E-05"}});
  EXPECT_EQ(next_text(), spot(15'000, december));
}

TEST_F(AzureFeedTest, FollowsItsPagesOnTheSameServer) {
  make();
  server.answer(http_answer(
      200,
      azure_json(
          {{}}, absl::StrCat("\"", server.url("/api/retail/prices?$filter=a b&$skip=100"), "\""))));
  server.answer(http_answer(200, azure_json({{.price = "0.1", .sku = "D2s v5"}})));
  EXPECT_EQ(next_text(), on_demand(100'000'000, december));
  EXPECT_EQ(next_text(), spot(19'200'000, december));
  EXPECT_EQ(server.seen()[1].target, "/api/retail/prices?$filter=a%20b&$skip=100");
}

TEST_F(AzureFeedTest, ANextPageAtAnotherServerIsRefused) {
  for (const std::string& link :
       {std::string("http://127.0.0.1:1/x"), std::string("https://prices.example.com/api"),
        std::string("file:///etc/passwd"), std::string("/api/retail/prices?$skip=100"),
        "http://user@" + server.host() + "/"}) {
    make();
    server.answer(http_answer(200, azure_json({{}}, absl::StrCat("\"", link, "\""))));
    EXPECT_TRUE(absl::IsFailedPrecondition(next().status())) << link << ": " << told->status();
    EXPECT_NE(told->status().message().find("another server"), std::string::npos);
  }
}

TEST_F(AzureFeedTest, PagesWithoutEndAreGivenUp) {
  options.poll.pages_max = 4;
  make();
  for (int i = 0; i < 4; ++i)
    server.answer(
        http_answer(200, azure_json({{}}, absl::StrCat("\"", server.url("/p"), i, "\""))));
  EXPECT_NE(next().status().message().find("more than 4 pages"), std::string::npos)
      << told->status();
  EXPECT_EQ(server.seen().size(), 4U);
}

TEST_F(AzureFeedTest, AnotherCurrencyIsRefused) {
  make({{.currency = "EUR"}, {.price = "0.02", .sku = "D2s v5"}});
  EXPECT_TRUE(absl::IsDataLoss(next().status()));
  EXPECT_NE(
      told->status().message().find("for Standard_D2s_v5, item 1: currencyCode \"EUR\" is refused"),
      std::string::npos)
      << told->status();
  EXPECT_TRUE(absl::IsDataLoss(next().status())) << "and no spot price is left";
  EXPECT_EQ(next_text(), on_demand(20'000'000, december));
}

TEST_F(AzureFeedTest, ADamagedItemIsNamedAndTheOthersCount) {
  make({{.price = "\"cheap\""},
        {.price = "-1"},
        {.price = "0"},
        {.since = "yesterday"},
        {.unit = "1 GB"},
        {.price = "0.02"}});
  for (const char* what : {"item 1: unitPrice is missing", "item 2: unitPrice \"-1\" is negative",
                           "item 3: unitPrice \"0\"", "item 4: effectiveStartDate \"yesterday\"",
                           "item 5: unitOfMeasure \"1 GB\""}) {
    EXPECT_TRUE(absl::IsDataLoss(next().status()));
    EXPECT_NE(told->status().message().find(what), std::string::npos) << told->status();
  }
  EXPECT_EQ(next_text(), spot(20'000'000, december));
}

TEST_F(AzureFeedTest, ATypeThatIsNotThereIsNamed) {
  options.instance_types = {"Standard_D2s_v5", "Standard_D2sv5"};
  make({{}});
  server.answer(http_answer(200, azure_json({})));
  EXPECT_NE(next().status().message().find("no spot price of Standard_D2sv5 in westeurope"),
            std::string::npos)
      << told->status();
  EXPECT_EQ(next_text(), spot(19'200'000, december));
}

TEST_F(AzureFeedTest, APriceThatIsCorrectedHoldsFromWhenThatWasSeen) {
  make({{}});
  EXPECT_EQ(next_text(), spot(19'200'000, december));
  const auto poll = [this](const std::vector<Meter>& meters) {
    server.answer(http_answer(200, azure_json(meters)));
    ask();
    time.run_for(options.poll.every);
    EXPECT_TRUE(settle());
    return text_of(*told);
  };
  EXPECT_EQ(poll({{}}), spot(19'200'000, december)) << "nothing new";
  EXPECT_EQ(poll({{.price = "0.03"}}), spot(30'000'000, 7200));
  EXPECT_EQ(poll({{.price = "0.03"}}), spot(30'000'000, 7200)) << "nothing new";
  EXPECT_EQ(poll({{.price = "0.03"}, {.price = "0.04", .since = "2026-01-01T03:30:00Z"}}),
            spot(40'000'000, 12'600));
}

TEST_F(AzureFeedTest, ThrottlingIsAnOutageForAsLongAsTheServerSays) {
  make();
  server.answer(http_answer(429, "{\"error\":{\"code\":\"429\"}}", "Retry-After: 60\r\n"));
  EXPECT_TRUE(absl::IsUnavailable(next().status()));
  EXPECT_NE(told->status().message().find("HTTP status 429"), std::string::npos) << told->status();
  ask();
  time.run_for(absl::Seconds(59));
  EXPECT_EQ(sent.size(), 1U) << "too early";
  server.answer(http_answer(200, azure_json({{}})));
  time.run_for(absl::Seconds(1));
  ASSERT_TRUE(settle());
  EXPECT_EQ(text_of(*told), spot(19'200'000, december));
}

TEST_F(AzureFeedTest, WhatIsNoAnswerIsNotBelieved) {
  const std::string whole = azure_json({{}});
  for (const std::string& body :
       {whole.substr(0, whole.size() - 30), std::string("<html></html>"), std::string(),
        std::string("[]"), std::string("{\"Items\":{}}"), std::string(200'000, '['),
        std::string(200'000, '[') + std::string(200'000, ']'),
        std::string("{\"Items\":[1,\"a\",null]}\xff")}) {
    make();
    server.answer(http_answer(200, body, "Content-Type: text/html\r\n"));
    EXPECT_TRUE(absl::IsUnavailable(next().status())) << told->status();
    EXPECT_NE(told->status().message().find("something else (text/html"), std::string::npos)
        << told->status();
  }
  for (const auto& [status, code] : {std::pair{500, absl::StatusCode::kUnavailable},
                                     std::pair{302, absl::StatusCode::kUnavailable},
                                     std::pair{400, absl::StatusCode::kFailedPrecondition}}) {
    make();
    server.answer(http_answer(status, "no"));
    EXPECT_EQ(next().status().code(), code) << told->status();
  }
}

TEST_F(AzureFeedTest, WhatCannotBeAskedIsRefusedWhenItIsMade) {
  const auto mistake = [this](auto change) {
    AzureFeedOptions wrong = options;
    change(wrong);
    const auto made = make_azure_feed(time, http(), Random(7), wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status();
    return std::string(made.status().message());
  };
  EXPECT_NE(mistake([](auto& o) { o.region = "' or 1 eq 1"; }).find("westeurope"),
            std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.instance_types = {"a' or 'b"}; }).find("Standard_D2s_v5"),
            std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.instance_types.clear(); }).find("1 to 100"), std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.endpoint = "prices"; }).find("https://"), std::string::npos);
}

}  // namespace
}  // namespace supercloud
