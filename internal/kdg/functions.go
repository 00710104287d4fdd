package kdg

import (
	"maps"
	"slices"
)

// builder makes a generator from a call's arguments, once per tag of a template.
type builder func(*call) (generator, error)

type function struct {
	build     builder
	takesText bool // arguments that are no JSON are one text
}

func functionNames() []string { return slices.Sorted(maps.Keys(functions)) }

// functions are those of the faker.js within KDG, by its names, and KDG's own. Where faker.js has a list of words,
// gofakeit's takes its place. The map is never written.
var functions = map[string]function{
	"random.number":               {build: randomNumber(1)},
	"random.float":                {build: randomNumber(0.01)},
	"random.boolean":              {build: pick("true", "false")},
	"random.uuid":                 {build: plain(uuid)},
	"random.alphaNumeric":         {build: characters("0123456789abcdefghijklmnopqrstuvwxyz", 1)},
	"random.arrayElement":         {build: arrayElement},
	"random.objectElement":        {build: objectElement},
	"random.weightedArrayElement": {build: weightedArrayElement},
	"random.word":                 {build: listed("word", "noun_common")},
	"random.words":                {build: words("word", "noun_common")},

	"date.now":          {build: dateNow, takesText: true},
	"date.utc":          {build: dateUTC, takesText: true},
	"date.simTime":      {build: dateNow, takesText: true}, // KDG's simulated time: the time of the record, as all is here
	"current.timestamp": {build: dateNow, takesText: true}, // KDG's older name
	"date.month":        {build: pick(months[:]...)},
	"date.weekday":      {build: pick(weekdays[:]...)},

	"internet.ip":           {build: plain(ipv4)},
	"internet.ipv6":         {build: plain(ipv6)},
	"internet.mac":          {build: plain(mac)},
	"internet.userAgent":    {build: plain(userAgent)},
	"internet.protocol":     {build: pick("http", "https")},
	"internet.userName":     {build: compose(lower("person", "first"), text("."), lower("person", "last"), digits("##"))},
	"internet.email":        {build: compose(lower("person", "first"), text("."), lower("person", "last"), text("@example."), list("internet", "domain_suffix"))},
	"internet.domainWord":   {build: compose(lower("person", "last"))},
	"internet.domainSuffix": {build: listed("internet", "domain_suffix")},
	"internet.domainName":   {build: compose(lower("person", "last"), text("."), list("internet", "domain_suffix"))},
	"internet.url":          {build: compose(text("https://"), lower("person", "last"), text("."), list("internet", "domain_suffix"))},
	"internet.color":        {build: plain(webColor)},
	"internet.password":     {build: characters("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", 15)},

	"name.firstName":     {build: listed("person", "first")},
	"name.lastName":      {build: listed("person", "last")},
	"name.findName":      {build: compose(list("person", "first"), text(" "), list("person", "last"))},
	"name.prefix":        {build: listed("person", "prefix")},
	"name.suffix":        {build: listed("person", "suffix")},
	"name.jobTitle":      {build: listed("job", "title")},
	"name.title":         {build: compose(list("job", "descriptor"), text(" "), list("job", "level"), text(" "), list("job", "title"))},
	"name.jobDescriptor": {build: listed("job", "descriptor")},
	"name.jobArea":       {build: listed("job", "level")},
	"name.jobType":       {build: listed("job", "title")},

	"address.city":             {build: listed("address", "city")},
	"address.country":          {build: listed("address", "country")},
	"address.countryCode":      {build: listed("address", "country_abr")},
	"address.state":            {build: state},
	"address.stateAbbr":        {build: listed("address", "state_abr")},
	"address.zipCode":          {build: digitFormat("#####"), takesText: true},
	"address.streetName":       {build: compose(streetName()...)},
	"address.streetAddress":    {build: streetAddress},
	"address.streetPrefix":     {build: listed("address", "street_prefix")},
	"address.streetSuffix":     {build: listed("address", "street_name")},
	"address.secondaryAddress": {build: compose(secondaryAddress())},
	"address.latitude":         {build: coordinate(90)},
	"address.longitude":        {build: coordinate(180)},

	"phone.phoneNumber": {build: digitFormat("###-###-####"), takesText: true},

	"commerce.price":            {build: money},
	"commerce.color":            {build: listed("color", "safe")},
	"commerce.department":       {build: listed("product", "category")},
	"commerce.product":          {build: listed("product", "name")},
	"commerce.productAdjective": {build: listed("product", "adjective")},
	"commerce.productMaterial":  {build: listed("product", "material")},
	"commerce.productName":      {build: compose(list("product", "adjective"), text(" "), list("product", "material"), text(" "), list("product", "name"))},

	"company.companyName":   {build: listed("company", "name")},
	"company.companySuffix": {build: listed("company", "suffix")},
	"company.bs":            {build: listed("company", "bs")},
	"company.catchPhrase":   {build: compose(list("company", "buzzwords"), text(" "), list("company", "blurb"))},

	"finance.amount":          {build: money},
	"finance.account":         {build: characters("0123456789", 8)},
	"finance.accountName":     {build: compose(either("Savings", "Checking", "Money Market", "Investment", "Home Loan", "Credit Card", "Auto Loan", "Personal Loan"), text(" Account"))},
	"finance.mask":            {build: characters("0123456789", 4)},
	"finance.transactionType": {build: pick("deposit", "withdrawal", "payment", "invoice")},
	"finance.currencyCode":    {build: listed("currency", "short")},
	"finance.currencyName":    {build: listed("currency", "long")},

	"hacker.abbreviation": {build: listed("hacker", "abbreviation")},
	"hacker.adjective":    {build: listed("hacker", "adjective")},
	"hacker.noun":         {build: listed("hacker", "noun")},
	"hacker.verb":         {build: listed("hacker", "verb")},
	"hacker.ingverb":      {build: listed("hacker", "ingverb")},

	"lorem.word":  {build: listed("lorem", "word")},
	"lorem.words": {build: words("lorem", "word")},
}
