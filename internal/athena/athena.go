// Package athena writes the statement that makes a table of Amazon Athena over the files that sluice writes. It runs nothing,
// and knows neither AWS nor where a schema comes from.
package athena

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
)

// Table is what a statement is made of.
type Table struct {
	Name       string // NAME or DATABASE.NAME
	Bucket     string
	Prefix     *sink.Prefix
	Columns    []columns.Field
	JSON       bool // the files are JSON lines, not Parquet
	Projection bool // the partitions are computed, and need not be registered
}

// The time that projected partitions cover: Athena shows nothing outside of it.
const (
	firstYear = "2020"
	lastYear  = "2099"
)

// DDL gives the statement, with a newline and without a semicolon at its end. The error tells why the prefix makes no table.
//
// https://docs.aws.amazon.com/athena/latest/ug/create-table.html
// https://docs.aws.amazon.com/athena/latest/ug/partition-projection-supported-types.html
func (t Table) DDL() (string, error) {
	location, levels := t.Prefix.Levels()
	partitions, template, err := partitionsOf(levels)
	if err != nil {
		return "", err
	}
	for _, p := range partitions {
		if slices.ContainsFunc(t.Columns, func(f columns.Field) bool { return f.Name == p.name }) {
			return "", fmt.Errorf("the folder %s= of SLUICE_PREFIX is called as a column is: a table has each name once", p.name)
		}
	}
	location = "s3://" + t.Bucket + "/" + location
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE EXTERNAL TABLE IF NOT EXISTS %s (\n", quoteName(t.Name))
	for i, f := range t.Columns {
		fmt.Fprintf(&b, "  `%s` %s%s\n", f.Name, f.SQLType(), comma(i, len(t.Columns)))
	}
	b.WriteString(")\n")
	if len(partitions) > 0 {
		b.WriteString("PARTITIONED BY (\n")
		for i, p := range partitions {
			fmt.Fprintf(&b, "  `%s` string%s\n", p.name, comma(i, len(partitions)))
		}
		b.WriteString(")\n")
	}
	properties := [][2]string{{"classification", "parquet"}}
	if t.JSON {
		properties[0][1] = "json"
		b.WriteString("ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'\nSTORED AS TEXTFILE\n")
	} else {
		b.WriteString("STORED AS PARQUET\n")
	}
	fmt.Fprintf(&b, "LOCATION %s\n", quoteText(location))
	if t.Projection {
		more, err := projection(partitions)
		if err != nil {
			return "", err
		}
		properties = append(append(properties, more...), [2]string{"storage.location.template", location + template})
	}
	b.WriteString("TBLPROPERTIES (\n")
	for i, p := range properties {
		fmt.Fprintf(&b, "  %s = %s%s\n", quoteText(p[0]), quoteText(p[1]), comma(i, len(properties)))
	}
	b.WriteString(")\n")
	return b.String(), nil
}

// partition is a partition column.
type partition struct {
	name  string
	value sink.Level
}

// partitionsOf names the levels, and writes them with Athena's placeholders.
func partitionsOf(levels []sink.Level) (partitions []partition, template string, err error) {
	for _, level := range levels {
		if text, static := level.Static(); static {
			template += text + "/"
			continue
		}
		name, value := level.Hive()
		if name != "" {
			template += name + "="
		}
		name = level.Key(len(partitions))
		if slices.ContainsFunc(partitions, func(p partition) bool { return p.name == name }) {
			return nil, "", fmt.Errorf("two folders of SLUICE_PREFIX give the partition column %s: name them, as in year=!{timestamp:yyyy}/", name)
		}
		template += "${" + name + "}/"
		partitions = append(partitions, partition{name, value})
	}
	return partitions, template, nil
}

// ranges are the values of single numbers of a date.
var ranges = map[byte][2]string{
	'y': {firstYear, lastYear}, 'u': {firstYear, lastYear}, 'M': {"1", "12"}, 'L': {"1", "12"}, 'd': {"1", "31"}, 'D': {"1", "366"},
	'H': {"0", "23"}, 'k': {"1", "24"}, 'm': {"0", "59"}, 's': {"0", "59"},
}

// projection gives the properties by which Athena computes the partitions.
func projection(partitions []partition) ([][2]string, error) {
	if len(partitions) == 0 {
		return nil, fmt.Errorf("SLUICE_PREFIX has no folder with a date, so that there is no partition to project")
	}
	properties := [][2]string{{"projection.enabled", "true"}}
	for _, p := range partitions {
		pattern, letters, ok := p.value.Pattern()
		if !ok {
			return nil, fmt.Errorf("the partition %s cannot be projected: its values are not those of a date alone", p.name)
		}
		add := func(key, value string) {
			properties = append(properties, [2]string{"projection." + p.name + "." + key, value})
		}
		if bounds, number := ranges[letters[0]]; len(letters) == 1 && number && strings.Trim(pattern, letters) == "" && !(isMonth(letters[0]) && len(pattern) > 2) &&
			!(isYear(letters[0]) && len(pattern) != 4 && len(pattern) != 1) {
			add("type", "integer")
			add("range", bounds[0]+","+bounds[1])
			if n := len(pattern); n > 1 && !isYear(letters[0]) {
				add("digits", fmt.Sprint(n))
			}
			continue
		}
		unit, first, ok := dates(pattern)
		if !ok {
			return nil, fmt.Errorf("the partition %s cannot be projected: of the pattern %s Athena cannot count the values; numbers of a date can be, as in yyyy-MM-dd", p.name, pattern)
		}
		add("type", "date")
		add("format", pattern)
		add("range", first+",NOW+1DAYS") // a day more: the clock of SLUICE_TIMEZONE may be ahead of UTC
		add("interval", "1")
		add("interval.unit", unit)
	}
	return properties, nil
}

func isYear(letter byte) bool  { return letter == 'y' || letter == 'u' }
func isMonth(letter byte) bool { return letter == 'M' || letter == 'L' }

// dates tells how the values of a date pattern follow each other, and the first one; it is not ok where the pattern leaves out a
// unit between the year and its smallest, or is not made of numbers.
func dates(pattern string) (unit, first string, ok bool) {
	units := []struct {
		letters, unit string
		first         int
	}{{"yu", "YEARS", 0}, {"ML", "MONTHS", 1}, {"d", "DAYS", 1}, {"H", "HOURS", 0}, {"m", "MINUTES", 0}, {"s", "SECONDS", 0}}
	seen := map[byte]bool{}
	var b strings.Builder
	for quoted := false; pattern != ""; {
		c := pattern[0]
		if strings.HasPrefix(pattern, "''") {
			b.WriteByte(c)
			pattern = pattern[2:]
			continue
		}
		if c == '\'' || quoted || !('a' <= c|0x20 && c|0x20 <= 'z') {
			if c == '\'' {
				quoted = !quoted
			} else {
				b.WriteByte(c)
			}
			pattern = pattern[1:]
			continue
		}
		n := len(pattern) - len(strings.TrimLeft(pattern, pattern[:1]))
		pattern = pattern[n:]
		i := slices.IndexFunc(units, func(u struct {
			letters, unit string
			first         int
		}) bool {
			return strings.IndexByte(u.letters, c) >= 0
		})
		if i < 0 || i == 0 && n != 4 || i > 0 && n > 2 {
			return "", "", false
		}
		seen[units[i].letters[0]] = true
		if i == 0 {
			b.WriteString(firstYear)
		} else {
			fmt.Fprintf(&b, "%0*d", n, units[i].first)
		}
	}
	for i, u := range units {
		if !seen[u.letters[0]] {
			return unit, b.String(), i > 0 && i == len(seen)
		}
		unit = u.unit
	}
	return unit, b.String(), true
}

// quoteName quotes a name, and the database before it: many plain words are reserved.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, ".", "`.`") + "`" }

func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }

func comma(i, n int) string {
	if i < n-1 {
		return ","
	}
	return ""
}
