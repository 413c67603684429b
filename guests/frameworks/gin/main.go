// Command gin is an application on Gin, as a guest.
package main

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/appserver-go/appserver/guests/kit"
)

func init() {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/hello/:name", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"hello": c.Param("name")}) })
	r.POST("/form", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"a": c.PostForm("a")}) })
	r.GET("/panic", func(*gin.Context) { panic("asked to by /panic") })
	kit.Handle(r)
}

func main() { kit.Main() }
