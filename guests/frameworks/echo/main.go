// Command echo is an application on Echo, as a guest.
package main

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	e := echo.New()
	e.Use(middleware.Recover())
	e.GET("/hello/:name", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"hello": c.Param("name")})
	})
	e.POST("/form", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"a": c.FormValue("a")})
	})
	e.GET("/panic", func(echo.Context) error { panic("asked to by /panic") })
	kit.Handle(e)
}

func main() { kit.Main() }
