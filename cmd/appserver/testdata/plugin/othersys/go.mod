module example.com/othersys

go 1.26.0

require golang.org/x/sys v0.1.0

replace golang.org/x/sys => ./sys
