#include "host/server/body_fields.h"

#include <gtest/gtest.h>

#include "host/server/service.h"

namespace pianola {
namespace {

TEST(BodyFields, RefusesWhatNobodyAskedFor) {
  const Json body = {{"a", 1}, {"b", nullptr}, {"c", 2}};
  BodyFields fields(body);
  EXPECT_EQ(fields.integer("a", 0, 5), 1);
  EXPECT_FALSE(fields.boolean("b").has_value());
  ASSERT_TRUE(fields.error().has_value());
  EXPECT_EQ(fields.error()->param, "c");
  fields.ignore("c");
  EXPECT_FALSE(fields.error().has_value());
  EXPECT_EQ(fields.ignored(), std::vector<std::string>{"c"});
}

TEST(BodyFields, KeepsTheFirstError) {
  const Json body = {{"a", "text"}, {"b", 99}};
  BodyFields fields(body, "outer.");
  EXPECT_FALSE(fields.number("a", 0, 1).has_value());
  EXPECT_FALSE(fields.integer("b", 0, 5).has_value());
  EXPECT_EQ(fields.error()->param, "outer.a");
  EXPECT_EQ(fields.error()->code, "invalid_type");
}

TEST(Service, ComparesKeysWhole) {
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secret "));
  EXPECT_FALSE(equal_in_constant_time("secretsecret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", ""));
  EXPECT_FALSE(equal_in_constant_time("", "a"));
}

}  // namespace
}  // namespace pianola
