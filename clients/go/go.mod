module strategicmemory

go 1.19
