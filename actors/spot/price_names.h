// What names tell: the region in a zone's, the instance type in a file's; and those that are asked for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supercloud {

// "us-east-1" of "us-east-1a" and of "us-east-1-bos-1a", "us-central1" of "us-central1-a". Empty: there is none in this name; in
// that of every zone of AWS there is. A part of `zone`.
std::string_view region_in_name(std::string_view zone);

// Of a zone of whatever cloud: the region in its name, or else the zone itself, as of Azure, whose prices know no smaller place. A part
// of `zone`.
std::string_view region_of_zone(std::string_view zone);

// Lower-case letters, digits and "-", at most 64: what a zone's name is made of, whatever the cloud.
bool is_zone_word(std::string_view zone);

// The same, at most 32 of them, a letter first: a cloud's name is the beginning of each place's and of each instance's.
bool is_cloud_word(std::string_view cloud);
inline constexpr const char* cloud_word_cure =
    "use at most 32 lower-case letters, digits and -, a letter first";

// The instance type in the name of a price file: "r3.large" of "2015_r3.large_us-east-1_events.csv". Empty: there is none.
std::string instance_type_in(std::string_view file_name);

// Any is, where none is named.
bool is_wanted(const std::vector<std::string>& wanted, std::string_view name);

}  // namespace supercloud
